// The control groups below which the pods run: the one thing that the kernel does not remove by itself.

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

const (
	controlGroups = "/sys/fs/cgroup"
	// A group is busy for a moment after its last process has gone.
	busyFor, busyPoll = 5 * time.Second, 20 * time.Millisecond
)

// createControlGroups makes the group that kubelet puts its pods below, in each hierarchy.
func createControlGroups(name string) error {
	hierarchies, err := hierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range hierarchies {
		if err := os.MkdirAll(filepath.Join(hierarchy, name), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// Share gives a process the share of CPU that a pod with such a request has, beside the group of all pods. Without that, each of its threads
// would weigh as much as all pods together. Where no hierarchy shares CPU, nothing happens.
func Share(cluster, group string, millicores, process int) error {
	hierarchies, err := hierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range hierarchies {
		dir := filepath.Join(hierarchy, cluster, group)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		// As kubelet converts: shares of v1 from 2 to 262144 are weights of v2 from 1 to 10000.
		shares := millicores * 1024 / 1000
		weight := 1 + (shares-2)*9999/262142
		if !set(dir, "cpu.shares", shares) && !set(dir, "cpu.weight", weight) {
			continue
		}
		if !set(dir, "cgroup.procs", process) {
			return fmt.Errorf("%s takes no process", dir)
		}
	}
	return nil
}

// set writes a number into a file of a control group, if there is such a file.
func set(dir, file string, number int) bool {
	path := filepath.Join(dir, file)
	if _, err := os.Stat(path); err != nil {
		return false
	}
	return os.WriteFile(path, []byte(strconv.Itoa(number)), 0) == nil
}

func removeControlGroups(name string) error {
	hierarchies, err := hierarchies()
	failures := []error{err}
	for _, hierarchy := range hierarchies {
		failures = append(failures, removeTree(filepath.Join(hierarchy, name)))
	}
	return errors.Join(failures...)
}

// hierarchies knows both layouts: one for all controllers (v2), or one for each (v1).
func hierarchies() ([]string, error) {
	if _, err := os.Stat(filepath.Join(controlGroups, "cgroup.controllers")); err == nil {
		return []string{controlGroups}, nil
	}
	return filepath.Glob(filepath.Join(controlGroups, "*"))
}

// removeTree removes directories only, the innermost first: the files in a control group are the kernel's and go with it.
func removeTree(root string) error {
	var groups []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			groups = append(groups, path)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, group := range slices.Backward(groups) {
		if err := removeWhenIdle(group); err != nil {
			return err
		}
	}
	return nil
}

func removeWhenIdle(group string) error {
	for waited := time.Duration(0); ; waited += busyPoll {
		err := os.Remove(group)
		if !errors.Is(err, syscall.EBUSY) || waited > busyFor {
			return err
		}
		time.Sleep(busyPoll)
	}
}
