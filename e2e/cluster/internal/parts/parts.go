// Package parts says how each process of the cluster is called and configured. It starts none of them.
//
// Paths are those inside the sandbox: /run, /var/lib and /var/log are directories of the cluster, so most parts keep their
// default paths.
package parts

import (
	"embed"
	"io/fs"
	"os"
	"path/filepath"
)

// Config is where Prepare puts what the parts read: credentials and the files of this package.
const Config = "/run/cluster"

// AdminKubeconfig may do everything.
const AdminKubeconfig = Config + "/admin.kubeconfig"

// Part is one process.
type Part struct {
	Name      string
	Arguments []string
	// Millicores of CPU that are asked for it, as for a pod; 0: it runs outside, as a node's own services do.
	Millicores int
}

//go:embed files
var files embed.FS

// cniDir holds only what containerd's CNI should see: it takes the first file.
const cniDir = Config + "/cni"

// Prepare writes the configuration files.
func Prepare() error {
	for _, dir := range []string{cniDir, etcdData} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	entries, err := fs.ReadDir(files, "files")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		text, err := fs.ReadFile(files, "files/"+entry.Name())
		if err != nil {
			return err
		}
		if err := os.WriteFile(placeOf(entry.Name()), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func placeOf(name string) string {
	if filepath.Ext(name) == ".conflist" {
		return filepath.Join(cniDir, name)
	}
	return config(name)
}

func config(name string) string { return filepath.Join(Config, name) }
