// Package addons installs what runs inside every cluster, which is its DNS, and waits until pods can rely on it.
package addons

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os/exec"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
)

const poll = 100 * time.Millisecond

//go:embed dns.yaml
var dns []byte

// Apply creates the objects.
func Apply(ctx context.Context, kubectl, kubeconfig string) error {
	command := exec.CommandContext(ctx, kubectl, "--kubeconfig", kubeconfig, "apply", "--server-side", "-f", "-")
	command.Stdin = bytes.NewReader(dns)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl apply: %w: %s", err, output)
	}
	return nil
}

// AwaitNode returns when the node takes pods.
func AwaitNode(ctx context.Context, client kubernetes.Interface, name string) error {
	return wait.PollUntilContextCancel(ctx, poll, true, func(ctx context.Context) (bool, error) {
		node, err := client.CoreV1().Nodes().Get(ctx, name, meta.GetOptions{})
		// Until it is registered there is no node; that is not a failure.
		return err == nil && ready(node), nil
	})
}

// AwaitDNS returns when names are answered.
func AwaitDNS(ctx context.Context, client kubernetes.Interface) error {
	return wait.PollUntilContextCancel(ctx, poll, true, func(ctx context.Context) (bool, error) {
		deployment, err := client.AppsV1().Deployments("kube-system").Get(ctx, "coredns", meta.GetOptions{})
		return err == nil && deployment.Status.ReadyReplicas > 0, nil
	})
}

func ready(node *core.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == core.NodeReady {
			return condition.Status == core.ConditionTrue
		}
	}
	return false
}
