// What is left when all processes are gone. It ends none.

package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"keyward.dev/e2e/cluster/internal/state"
)

// Remove deletes what outlives the processes of a cluster: its network's name, its control groups and its files but the logs.
func Remove(cluster state.Cluster) error {
	failures := []error{removeNetwork(cluster.Name), removeControlGroups(cluster.Name)}
	for _, path := range cluster.Disposable() {
		failures = append(failures, os.RemoveAll(path))
	}
	return errors.Join(failures...)
}

func removeNetwork(name string) error {
	if _, err := os.Stat(filepath.Join("/run/netns", name)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return run("ip", "netns", "delete", name)
}
