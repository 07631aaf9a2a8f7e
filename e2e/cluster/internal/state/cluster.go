// Package state says where a cluster keeps its files and which process is its own. It starts and ends nothing.
package state

import (
	"fmt"
	"path/filepath"
)

// The longest path that a Unix socket can have, without the ending zero.
const longestSocketPath = 107

// Cluster is one cluster on this machine, told apart from others by its name.
type Cluster struct {
	// Name of the network namespace and of the control group.
	Name string
	// Dir holds all that the cluster writes; absolute.
	Dir string
	// Bin holds the programs and images that build.sh made; absolute.
	Bin string
}

// New makes the directories absolute, because the cluster outlives the directory it was started from.
func New(name, dir, bin string) (Cluster, error) {
	cluster := Cluster{Name: name}
	var err error
	if cluster.Dir, err = filepath.Abs(dir); err != nil {
		return cluster, err
	}
	if cluster.Bin, err = filepath.Abs(bin); err != nil {
		return cluster, err
	}
	if socket := cluster.ContainerdSocket(); len(socket) > longestSocketPath {
		return cluster, fmt.Errorf("%s is longer than %d bytes, choose a shorter -dir", socket, longestSocketPath)
	}
	return cluster, nil
}

// Kubeconfig is the administrator's way in; its server is reached from inside the network namespace only.
func (c Cluster) Kubeconfig() string { return filepath.Join(c.Dir, "kubeconfig") }

// Logs is /var/log inside the cluster: one file for each part, and the pods' logs below pods/. It survives `down`.
func (c Cluster) Logs() string { return filepath.Join(c.Dir, "logs") }

// Run is /run inside the cluster.
func (c Cluster) Run() string { return filepath.Join(c.Dir, "run") }

// Lib is /var/lib inside the cluster.
func (c Cluster) Lib() string { return filepath.Join(c.Dir, "lib") }

// ContainerdSocket is containerd's default socket as seen from outside.
func (c Cluster) ContainerdSocket() string {
	return filepath.Join(c.Run(), "containerd", "containerd.sock")
}

// Program is a program that build.sh made.
func (c Cluster) Program(name string) string { return filepath.Join(c.Bin, name) }

// Built tells whether build.sh has run.
func (c Cluster) Built() error {
	images, err := c.Images()
	if err == nil && len(images) == 0 {
		err = fmt.Errorf("no images in %s: run e2e/cluster/build.sh, or give -bin", c.Bin)
	}
	return err
}

// Images that every cluster has from the start.
func (c Cluster) Images() ([]string, error) {
	return filepath.Glob(filepath.Join(c.Bin, "images", "*.tar"))
}

// Disposable is what goes when the cluster goes: everything but the logs.
func (c Cluster) Disposable() []string {
	return []string{c.Kubeconfig(), c.Run(), c.Lib()}
}
