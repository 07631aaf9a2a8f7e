// A process that is never mistaken for another.

package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const pollProcess = 10 * time.Millisecond

// Process is one process for all time: its number may be used again, but never with the same start.
type Process struct {
	PID int `json:"pid"`
	// Started is the time of the start in clock ticks since boot.
	Started string `json:"started"`
}

// Identify describes a process that is known to run now.
func Identify(pid int) (Process, error) {
	started, err := startOf(pid)
	return Process{PID: pid, Started: started}, err
}

// Alive tells whether this very process still runs.
func (p Process) Alive() bool {
	started, err := startOf(p.PID)
	return err == nil && started == p.Started
}

// Signal never reaches another process of the same number: the handle is opened first and the start compared afterwards.
func (p Process) Signal(signal syscall.Signal) error {
	handle, err := os.FindProcess(p.PID)
	if err != nil {
		return err
	}
	defer handle.Release()
	if !p.Alive() {
		return os.ErrProcessDone
	}
	return handle.Signal(signal)
}

// End asks the process to go, insists after patience, and returns when it is gone.
func (p Process) End(patience time.Duration) error {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := p.Signal(signal); errors.Is(err, os.ErrProcessDone) {
			return nil
		} else if err != nil {
			return err
		}
		if p.goneWithin(patience) {
			return nil
		}
	}
	return fmt.Errorf("process %d outlives SIGKILL", p.PID)
}

func (p Process) goneWithin(patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for p.Alive() {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pollProcess):
		}
	}
	return true
}

// Children are the processes that this one started, by name as it called them.
func (p Process) Children() (map[string]int, error) {
	children := map[string]int{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		fields, err := statOf(pid)
		if err != nil || fields[parentField] != strconv.Itoa(p.PID) {
			continue
		}
		children[nameOf(pid)] = pid
	}
	return children, nil
}

func nameOf(pid int) string {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	name, _, _ := strings.Cut(string(line), "\x00")
	return filepath.Base(name)
}

// Places in /proc/PID/stat, counted from the field after the name: see proc_pid_stat(5).
const (
	stateField  = 0
	parentField = 1
	startField  = 19
)

func startOf(pid int) (string, error) {
	fields, err := statOf(pid)
	if err != nil {
		return "", err
	}
	// A zombie holds nothing any more; it only waits for its parent.
	if fields[stateField] == "Z" {
		return "", fs.ErrNotExist
	}
	return fields[startField], nil
}

// statOf skips the name, which may itself hold spaces and parentheses.
func statOf(pid int) ([]string, error) {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(line[strings.LastIndexByte(string(line), ')')+1:]))
	if len(fields) <= startField {
		return nil, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(fields))
	}
	return fields, nil
}
