// Process 1 of the sandbox. It knows nothing of what its child does.

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"keyward.dev/e2e/cluster/internal/state"
)

// Report is where process 1 and its child find the file given to Start.
const Report = 3

// Supervisor is the name of process 1's child, by which it is told from orphans.
const Supervisor = "keyward-cluster-supervisor"

// Init is process 1: it prepares the mounts, starts this program again with the given arguments, passes SIGTERM on to it, and
// buries every process that lost its parent. It returns the child's exit code once the child is gone.
func Init(cluster state.Cluster, arguments ...string) (int, error) {
	if err := mountAll(cluster); err != nil {
		return 1, err
	}
	if err := unix.Sethostname([]byte(cluster.Name)); err != nil {
		return 1, err
	}
	child, err := syscall.ForkExec("/proc/self/exe", append([]string{Supervisor}, arguments...), &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2, Report},
	})
	if err != nil {
		return 1, err
	}
	// Nobody hears of the report's end while a copy of it is open.
	if err := unix.Close(Report); err != nil {
		return 1, err
	}
	passOn(child)
	return buryUntil(child)
}

func passOn(child int) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		for range signals {
			// It fails only when the child is gone, and then so are we.
			_ = syscall.Kill(child, syscall.SIGTERM)
		}
	}()
}

func buryUntil(child int) (int, error) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return 1, fmt.Errorf("wait: %w", err)
		}
		if pid == child {
			return status.ExitStatus(), nil
		}
	}
}
