// etcd, API server, controller manager and scheduler: their flags.

package parts

// What kubeadm asks for its static pods: cmd/kubeadm/app/phases/controlplane/manifests.go and util/etcd.
const (
	apiServerMillicores         = 250
	controllerManagerMillicores = 200
	schedulerMillicores         = 100
	etcdMillicores              = 100
)

const (
	etcdData = "/var/lib/etcd"
	// etcd has no TLS: it listens on the loopback address of a namespace whose pods have loopback addresses of their own.
	etcdURL     = "http://127.0.0.1:2379"
	etcdPeerURL = "http://127.0.0.1:2380"
)

// Services get their cluster addresses from serviceRange; FirstService is the API server's own.
const (
	serviceRange = "10.96.0.0/16"
	FirstService = "10.96.0.1"
)

// Etcd does not wait for the disk: a cluster that loses power is made anew.
func Etcd() Part {
	return Part{Name: "etcd", Millicores: etcdMillicores, Arguments: []string{
		"--data-dir=" + etcdData,
		"--listen-client-urls=" + etcdURL,
		"--advertise-client-urls=" + etcdURL,
		"--listen-peer-urls=" + etcdPeerURL,
		"--unsafe-no-fsync",
		// The API server serves lists from its cache only when it hears how far etcd is.
		"--watch-progress-notify-interval=5s",
		"--log-level=warn",
	}}
}

// AuditPolicy is how much the audit log holds.
type AuditPolicy string

const (
	// AuditMetadata logs who did what.
	AuditMetadata AuditPolicy = "audit-metadata.yaml"
	// AuditBodies logs requests and answers as well.
	AuditBodies AuditPolicy = "audit-bodies.yaml"
)

// APIServer listens on the node's address. Admission plugins are the default ones, which include ValidatingAdmissionPolicy.
func APIServer(node Node, audit AuditPolicy) Part {
	return Part{Name: "kube-apiserver", Millicores: apiServerMillicores, Arguments: []string{
		"--etcd-servers=" + etcdURL,
		"--advertise-address=" + node.Address,
		"--secure-port=" + apiPort,
		"--tls-cert-file=" + config("kube-apiserver.crt"),
		"--tls-private-key-file=" + config("kube-apiserver.key"),
		"--client-ca-file=" + config("ca.crt"),
		"--service-cluster-ip-range=" + serviceRange,
		"--allow-privileged",
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",

		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-signing-key-file=" + config("service-account.key"),
		"--service-account-key-file=" + config("service-account.pub"),

		// By address, because nothing resolves the node's name.
		"--kubelet-preferred-address-types=InternalIP",
		"--kubelet-certificate-authority=" + config("ca.crt"),
		"--kubelet-client-certificate=" + config("apiserver-to-kubelet.crt"),
		"--kubelet-client-key=" + config("apiserver-to-kubelet.key"),

		"--requestheader-client-ca-file=" + config("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + config("front-proxy-client.crt"),
		"--proxy-client-key-file=" + config("front-proxy-client.key"),

		"--audit-policy-file=" + config(string(audit)),
		"--audit-log-path=/var/log/audit.log",
		"--audit-log-maxsize=200",
		"--audit-log-maxbackup=1",
	}}
}

// ControllerManager runs every controller that is on by default, each with the rights of its own ServiceAccount.
func ControllerManager() Part {
	kubeconfig := config("kube-controller-manager.kubeconfig")
	return Part{Name: "kube-controller-manager", Millicores: controllerManagerMillicores, Arguments: []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1",
		"--root-ca-file=" + config("ca.crt"),
		"--service-account-private-key-file=" + config("service-account.key"),
		"--cluster-signing-cert-file=" + config("ca.crt"),
		"--cluster-signing-key-file=" + config("ca.key"),
		"--use-service-account-credentials",
		// It creates the directory, by default outside of the cluster's own.
		"--flex-volume-plugin-dir=" + volumePlugins,
		// There is only one, and it should work at once after a restart.
		"--leader-elect=false",
		"--kube-api-qps=200",
		"--kube-api-burst=400",
	}}
}

// Scheduler has one node to choose from.
func Scheduler() Part {
	kubeconfig := config("kube-scheduler.kubeconfig")
	return Part{Name: "kube-scheduler", Millicores: schedulerMillicores, Arguments: []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1",
		"--leader-elect=false",
		"--kube-api-qps=200",
		"--kube-api-burst=400",
	}}
}
