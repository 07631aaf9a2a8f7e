// What the cluster sees of the file system.

package sandbox

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"keyward.dev/e2e/cluster/internal/state"
)

// kernelSettings are those that kubelet sets for the whole machine. It accepts them as they are where they have these values,
// so it is shown files that have them, and the machine stays as it was.
var kernelSettings = map[string]string{
	"kernel/keys/root_maxbytes": "25000000",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
}

// mountAll makes the default paths of containerd, CNI, kubelet and etcd lead into the cluster's directory.
func mountAll(cluster state.Cluster) error {
	// First cut off from the machine, then shared among the cluster's own namespaces, as on any node.
	for _, propagation := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
		if err := unix.Mount("", "/", "", unix.MS_REC|propagation, ""); err != nil {
			return fmt.Errorf("mount propagation: %w", err)
		}
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := coverKernelSettings(filepath.Join(cluster.Run(), "sysctl")); err != nil {
		return err
	}
	for target, source := range map[string]string{
		"/run":     cluster.Run(),
		"/var/lib": cluster.Lib(),
		"/var/log": cluster.Logs(),
	} {
		if err := bind(source, target); err != nil {
			return err
		}
	}
	return nil
}

func coverKernelSettings(dir string) error {
	for name, value := range kernelSettings {
		cover := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(cover), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(cover, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := bind(cover, filepath.Join("/proc/sys", name)); err != nil {
			return err
		}
	}
	return nil
}

func bind(source, target string) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s at %s: %w", source, target, err)
	}
	return nil
}
