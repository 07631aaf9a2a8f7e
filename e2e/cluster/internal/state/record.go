// The note that `up` leaves for the commands after it.

package state

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Records live in /run and not in the cluster's directory: they must outlive its deletion, and must not outlive a reboot.
const records = "/run/keyward-cluster"

// Record is what a later command must know of a running cluster.
type Record struct {
	Cluster Cluster `json:"cluster"`
	// Init is process 1 inside the cluster: when it ends, the kernel ends all the others.
	Init Process `json:"init"`
	// Ready is set once the cluster has come up.
	Ready bool `json:"ready"`
}

// ReadRecord returns nil where no cluster of that name was started.
func ReadRecord(name string) (*Record, error) {
	text, err := os.ReadFile(recordPath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	record := &Record{}
	return record, json.Unmarshal(text, record)
}

// Write replaces the record.
func (r *Record) Write() error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(records, 0o755); err != nil {
		return err
	}
	return os.WriteFile(recordPath(r.Cluster.Name), append(text, '\n'), 0o644)
}

// Remove forgets the cluster, and the directory of records with the last of them.
func (r *Record) Remove() error {
	if err := os.Remove(recordPath(r.Cluster.Name)); err != nil {
		return err
	}
	// Fails while other clusters have records, which is right.
	_ = os.Remove(records)
	return nil
}

func recordPath(name string) string { return filepath.Join(records, name+".json") }
