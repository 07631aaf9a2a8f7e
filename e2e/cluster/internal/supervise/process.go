// Parts as running processes, with their logs and restarts.

package supervise

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"keyward.dev/e2e/cluster/internal/parts"
	"keyward.dev/e2e/cluster/internal/sandbox"
	"keyward.dev/e2e/cluster/internal/state"
)

const (
	// patience is how long a part may take to go after SIGTERM. Nothing is lost by SIGKILL.
	patience = time.Second
	// restartAfter keeps a part that cannot start from taking a whole CPU.
	restartAfter = 500 * time.Millisecond
)

// runner keeps processes running until its context ends.
type runner struct {
	cluster state.Cluster
	running sync.WaitGroup
}

// keep starts the parts, and starts each again whenever it ends: tests end parts to see what the others do then.
func (r *runner) keep(ctx context.Context, all ...parts.Part) {
	for _, part := range all {
		r.running.Go(func() { r.repeat(ctx, part) })
	}
}

func (r *runner) repeat(ctx context.Context, part parts.Part) {
	for {
		err := r.runOnce(ctx, part)
		if ctx.Err() != nil {
			return
		}
		slog.Warn("part ended", "part", part.Name, "error", err)
		pause(ctx, restartAfter)
	}
}

func (r *runner) runOnce(ctx context.Context, part parts.Part) error {
	log, err := os.OpenFile(filepath.Join(r.cluster.Logs(), part.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.CommandContext(ctx, r.program(part.Name), part.Arguments...)
	command.Stdout, command.Stderr = log, log
	command.WaitDelay = patience
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	if err := command.Start(); err != nil {
		return err
	}
	if part.Millicores > 0 {
		if err := sandbox.Share(r.cluster.Name, part.Name, part.Millicores, command.Process.Pid); err != nil {
			slog.Warn("part has no share of CPU of its own", "part", part.Name, "error", err)
		}
	}
	return command.Wait()
}

// program is one that build.sh made, or else one of the system.
func (r *runner) program(name string) string {
	if own := r.cluster.Program(name); exists(own) {
		return own
	}
	return name
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
