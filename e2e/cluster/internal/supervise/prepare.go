// What must exist before the first part starts: addresses, configuration, credentials.

package supervise

import (
	"net"
	"os"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"keyward.dev/e2e/cluster/internal/credentials"
	"keyward.dev/e2e/cluster/internal/network"
	"keyward.dev/e2e/cluster/internal/parts"
	"keyward.dev/e2e/cluster/internal/state"
)

// prepare makes all that exists before the first part starts.
func prepare(cluster state.Cluster, node parts.Node) error {
	if err := network.Create(); err != nil {
		return err
	}
	if err := parts.Prepare(); err != nil {
		return err
	}
	err := credentials.Create(parts.Config, credentials.Endpoints{
		Node:           node.Name,
		NodeAddress:    net.ParseIP(node.Address),
		ServiceAddress: net.ParseIP(parts.FirstService),
		Server:         node.Server(),
	})
	if err != nil {
		return err
	}
	return publishKubeconfig(cluster)
}

func publishKubeconfig(cluster state.Cluster) error {
	text, err := os.ReadFile(parts.AdminKubeconfig)
	if err != nil {
		return err
	}
	return os.WriteFile(cluster.Kubeconfig(), text, 0o600)
}

// connect sets no limit of its own to the number of requests: the load balancer should be as quick as it can.
func connect(cluster state.Cluster) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", cluster.Kubeconfig())
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	return kubernetes.NewForConfig(config)
}
