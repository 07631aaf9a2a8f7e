// The control groups below which the pods run: the one thing that the kernel does not remove by itself.

package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
