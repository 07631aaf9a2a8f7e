// Archives into a running containerd.

package image

import (
	"context"
	"fmt"
	"net"
	"os/exec"
)

// containerdNamespace is where kubelet's images live.
const containerdNamespace = "k8s.io"

// Reach tells whether containerd listens yet.
func Reach(socket string) error {
	connection, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	return connection.Close()
}

// Load imports archives into containerd, each replacing what had its names before.
func Load(ctx context.Context, socket string, archives []string) error {
	for _, archive := range archives {
		command := exec.CommandContext(ctx, "ctr", "--address", socket, "--namespace", containerdNamespace, "images", "import", archive)
		if output, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("import %s: %w: %s", archive, err, output)
		}
	}
	return nil
}
