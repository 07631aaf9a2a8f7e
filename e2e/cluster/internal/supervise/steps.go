// The start's progress and deadline.

package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

const pollReadiness = 50 * time.Millisecond

var errTooLate = errors.New("the cluster did not come up in time")

// steps reports how far the start has come, and ends it when it takes too long.
type steps struct {
	ctx    context.Context
	began  time.Time
	report io.Writer
}

// take waits for the step.
func (s *steps) take(name string, step func(context.Context) error) error {
	if err := step(s.ctx); err != nil {
		return fmt.Errorf("%s: %w", name, errors.Join(context.Cause(s.ctx), err))
	}
	fmt.Fprintf(s.report, "%5.1f s  %s\n", time.Since(s.began).Seconds(), name)
	return nil
}

// begin lets the step run beside others.
func (s *steps) begin(name string, step func(context.Context) error) <-chan error {
	result := make(chan error, 1)
	go func() { result <- s.take(name, step) }()
	return result
}

// await tries until it works or the time is over, and returns what last stood in the way.
func await(ctx context.Context, try func() error) error {
	for {
		err := try()
		if err == nil || ctx.Err() != nil {
			return err
		}
		pause(ctx, pollReadiness)
	}
}

func pause(ctx context.Context, duration time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(duration):
	}
}
