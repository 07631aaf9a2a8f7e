// `up`: removes what a crash left, starts the sandbox and follows its report.

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"

	"keyward.dev/e2e/cluster/internal/sandbox"
	"keyward.dev/e2e/cluster/internal/state"
	"keyward.dev/e2e/cluster/internal/supervise"
)

func up(arguments []string) error {
	options := newOptions("up").withStart().parse(arguments)
	cluster, err := options.cluster()
	if err != nil {
		return err
	}
	if err := cluster.Built(); err != nil {
		return err
	}
	record, err := state.ReadRecord(cluster.Name)
	if err != nil {
		return err
	}
	if record != nil && record.Ready && record.Init.Alive() {
		fmt.Println(record.Cluster.Kubeconfig())
		return nil
	}
	if err := remove(cluster, record); err != nil {
		return err
	}
	if err := os.RemoveAll(cluster.Logs()); err != nil {
		return err
	}
	return start(cluster, arguments)
}

// start gives the sandbox the same flags, but with directories that do not depend on where it runs.
func start(cluster state.Cluster, arguments []string) error {
	lines, report, err := os.Pipe()
	if err != nil {
		return err
	}
	inside := slices.Concat([]string{"init"}, arguments, []string{"-dir", cluster.Dir, "-bin", cluster.Bin})
	process, err := sandbox.Start(cluster, report, inside...)
	// The report ends when the last copy of it is closed.
	report.Close()
	if err != nil {
		return err
	}
	record := &state.Record{Cluster: cluster, Init: process}
	if err := record.Write(); err != nil {
		return err
	}
	if err := follow(lines, cluster); err != nil {
		return err
	}
	record.Ready = true
	fmt.Println(cluster.Kubeconfig())
	return record.Write()
}

// follow shows the report and returns when the cluster is up, or when its report ends before.
func follow(report io.Reader, cluster state.Cluster) error {
	last := ""
	for lines := bufio.NewScanner(report); lines.Scan(); {
		last = lines.Text()
		if last == supervise.Done {
			return nil
		}
		fmt.Fprintln(os.Stderr, last)
	}
	return fmt.Errorf("the cluster did not come up; see %s", cluster.Logs())
}
