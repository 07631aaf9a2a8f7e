// Package sandbox keeps a cluster apart from the machine: network, processes, mounts and host name are its own, and whatever it
// changes outside its directory goes with it. It knows nothing of Kubernetes.
//
// The kernel does the tidying: when process 1 of a PID namespace ends, all others in it are killed, and with the last of them
// the mounts go. So a cluster ends as completely by a crash as by `down`.
package sandbox

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"keyward.dev/e2e/cluster/internal/state"
)

const namespaces = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS

// environment is not the caller's: a proxy set there would come between the parts.
var environment = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}

// Start runs this program again with the given arguments as process 1 of new namespaces. Its file 3 is the report.
func Start(cluster state.Cluster, report *os.File, arguments ...string) (state.Process, error) {
	for _, dir := range []string{cluster.Run(), cluster.Lib(), cluster.Logs()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return state.Process{}, err
		}
	}
	if err := createControlGroups(cluster.Name); err != nil {
		return state.Process{}, err
	}
	log, err := os.Create(filepath.Join(cluster.Logs(), "supervisor.log"))
	if err != nil {
		return state.Process{}, err
	}
	defer log.Close()

	command := exec.Command("/proc/self/exe", arguments...)
	command.Args[0] = "keyward-cluster"
	command.Dir, command.Env = "/", environment
	command.Stdout, command.Stderr = log, log
	command.ExtraFiles = []*os.File{report}
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Setsid: true}
	if err := command.Start(); err != nil {
		return state.Process{}, fmt.Errorf("new namespaces: %w", err)
	}
	process, err := state.Identify(command.Process.Pid)
	if err == nil {
		err = nameNetwork(cluster.Name, process.PID)
	}
	if err != nil {
		// What has no name cannot be ended later.
		_ = command.Process.Kill()
	}
	return process, err
}

// nameNetwork makes the network namespace one that `nsenter --net=/var/run/netns/NAME` finds.
func nameNetwork(name string, pid int) error {
	return run("ip", "netns", "attach", name, strconv.Itoa(pid))
}

func run(program string, arguments ...string) error {
	if output, err := exec.Command(program, arguments...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w: %s", program, arguments, err, output)
	}
	return nil
}
