// `down`: ends the cluster and removes what it left.

package main

import (
	"time"

	"keyward.dev/e2e/cluster/internal/sandbox"
	"keyward.dev/e2e/cluster/internal/state"
)

// endPatience is how long a cluster may take to go after SIGTERM.
const endPatience = 10 * time.Second

func down(arguments []string) error {
	options := newOptions("down").withStart().parse(arguments)
	cluster, err := options.cluster()
	if err != nil {
		return err
	}
	record, err := state.ReadRecord(cluster.Name)
	if err != nil {
		return err
	}
	return remove(cluster, record)
}

// remove ends what runs and deletes what it left. Without a record it still looks for what a cluster of this name would leave.
func remove(cluster state.Cluster, record *state.Record) error {
	if record == nil {
		return sandbox.Remove(cluster)
	}
	if err := record.Init.End(endPatience); err != nil {
		return err
	}
	if err := sandbox.Remove(record.Cluster); err != nil {
		return err
	}
	return record.Remove()
}
