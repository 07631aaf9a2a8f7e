// containerd, kubelet and kube-proxy: their flags. Their configuration is in files/.

package parts

const (
	apiPort       = "6443"
	volumePlugins = "/var/lib/kubelet/volume-plugins"
)

// Node is the only node.
type Node struct {
	Name string
	// Address is on a bridge in the cluster's network namespace.
	Address string
	// ControlGroup is the parent of all pods' control groups.
	ControlGroup string
}

// Server is the API server's URL.
func (n Node) Server() string { return "https://" + n.Address + ":" + apiPort }

// Containerd runs the pods.
func Containerd() Part {
	return Part{Name: "containerd", Arguments: []string{"--config", config("containerd.toml")}}
}

// Kubelet registers the node.
func Kubelet(node Node) Part {
	return Part{Name: "kubelet", Arguments: []string{
		"--config=" + config("kubelet.yaml"),
		"--kubeconfig=" + config("kubelet.kubeconfig"),
		"--hostname-override=" + node.Name,
		"--node-ip=" + node.Address,
		"--cgroup-root=/" + node.ControlGroup,
	}}
}

// KubeProxy also routes the addresses of load balancers.
func KubeProxy(node Node) Part {
	return Part{Name: "kube-proxy", Arguments: []string{
		"--config=" + config("kube-proxy.yaml"),
		"--hostname-override=" + node.Name,
	}}
}
