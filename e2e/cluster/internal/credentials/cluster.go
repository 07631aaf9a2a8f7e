// Which credentials a cluster has, and where they lie.

package credentials

import (
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// Endpoints are what the servers' certificates must name.
type Endpoints struct {
	// Node is the node's name and NodeAddress where the API server and kubelet listen.
	Node        string
	NodeAddress net.IP
	// ServiceAddress is the cluster address of the Service `kubernetes`.
	ServiceAddress net.IP
	// Server is the API server's URL.
	Server string
}

// Files that Create writes beside the certificates.
const (
	ServiceAccountKey    = "service-account.key"
	ServiceAccountPublic = "service-account.pub"
)

// clients are the processes that call the API server, by the user that Kubernetes' own bindings name.
func clients(node string) map[string]Subject {
	return map[string]Subject{
		"admin":                   {User: "keyward-admin", Groups: []string{"system:masters"}},
		"kube-controller-manager": {User: "system:kube-controller-manager"},
		"kube-scheduler":          {User: "system:kube-scheduler"},
		"kube-proxy":              {User: "system:kube-proxy"},
		"kubelet":                 {User: "system:node:" + node, Groups: []string{"system:nodes"}},
	}
}

// Create fills dir with all that the parts need: certificates as NAME.crt and NAME.key, kubeconfigs as NAME.kubeconfig.
func Create(dir string, endpoints Endpoints) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	authority, err := NewAuthority("keyward-e2e")
	if err != nil {
		return err
	}
	if err := authority.Write(dir, "ca"); err != nil {
		return err
	}
	if err := issueServers(dir, authority, endpoints); err != nil {
		return err
	}
	for name, subject := range clients(endpoints.Node) {
		if err := writeKubeconfig(dir, name, authority, subject, endpoints.Server); err != nil {
			return err
		}
	}
	if err := issueFrontProxy(dir); err != nil {
		return err
	}
	return writeServiceAccountKey(dir)
}

func issueServers(dir string, authority *Authority, endpoints Endpoints) error {
	for name, subject := range map[string]Subject{
		"kube-apiserver": {
			User: "kube-apiserver",
			Hosts: []string{
				"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
			},
			Addresses: []net.IP{net.IPv4(127, 0, 0, 1), endpoints.NodeAddress, endpoints.ServiceAddress},
		},
		"kubelet":              {User: "kubelet", Hosts: []string{endpoints.Node}, Addresses: []net.IP{endpoints.NodeAddress}},
		"apiserver-to-kubelet": {User: "kube-apiserver-kubelet-client", Groups: []string{"system:masters"}},
	} {
		pair, err := authority.Issue(subject)
		if err != nil {
			return err
		}
		if err := pair.Write(dir, name); err != nil {
			return err
		}
	}
	return nil
}

// issueFrontProxy has an authority of its own: whoever holds a certificate of it may name any user to an extension API server.
func issueFrontProxy(dir string) error {
	authority, err := NewAuthority("keyward-e2e-front-proxy")
	if err != nil {
		return err
	}
	if err := authority.Write(dir, "front-proxy-ca"); err != nil {
		return err
	}
	pair, err := authority.Issue(Subject{User: "front-proxy-client"})
	if err != nil {
		return err
	}
	return pair.Write(dir, "front-proxy-client")
}

func writeServiceAccountKey(dir string) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(dir, ServiceAccountKey), "PRIVATE KEY", private); err != nil {
		return err
	}
	return writePEM(filepath.Join(dir, ServiceAccountPublic), "PUBLIC KEY", public)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

func writeKubeconfig(dir, name string, authority *Authority, subject Subject, server string) error {
	pair, err := authority.Issue(subject)
	if err != nil {
		return err
	}
	const cluster = "keyward-e2e"
	config := api.NewConfig()
	config.Clusters[cluster] = &api.Cluster{Server: server, CertificateAuthorityData: authority.Certificate}
	config.AuthInfos[subject.User] = &api.AuthInfo{ClientCertificateData: pair.Certificate, ClientKeyData: pair.Key}
	config.Contexts[cluster] = &api.Context{Cluster: cluster, AuthInfo: subject.User}
	config.CurrentContext = cluster
	return clientcmd.WriteToFile(*config, filepath.Join(dir, name+".kubeconfig"))
}
