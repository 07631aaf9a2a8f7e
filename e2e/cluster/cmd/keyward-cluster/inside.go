// How the program calls itself inside the sandbox: once as process 1, once as the supervisor below it.

package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"keyward.dev/e2e/cluster/internal/sandbox"
	"keyward.dev/e2e/cluster/internal/supervise"
)

// runInit is process 1 of the sandbox.
func runInit(arguments []string) error {
	cluster, err := newOptions("init").withStart().parse(arguments).cluster()
	if err != nil {
		return err
	}
	code, err := sandbox.Init(cluster, slices.Concat([]string{"supervise"}, arguments)...)
	if err != nil {
		return err
	}
	os.Exit(code)
	return nil
}

// runSupervisor is its child.
func runSupervisor(arguments []string) error {
	options := newOptions("supervise").withStart().parse(arguments)
	cluster, err := options.cluster()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return supervise.Run(ctx, cluster, supervise.Options{
		Audit:    options.audit(),
		Patience: *options.patience,
	}, os.NewFile(sandbox.Report, "report"))
}
