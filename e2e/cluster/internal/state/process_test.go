package state

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

func TestAProcessThatTookOverTheNumberIsLeftAlone(t *testing.T) {
	child := sleeper(t)
	former := Process{PID: child.PID, Started: "1"}
	if err := former.End(time.Second); err != nil {
		t.Fatal(err)
	}
	if !child.Alive() {
		t.Fatal("another process of the same number was ended")
	}
}

func TestEndReturnsWhenTheProcessIsGone(t *testing.T) {
	child := sleeper(t)
	if err := child.End(time.Second); err != nil {
		t.Fatal(err)
	}
	if child.Alive() {
		t.Fatal("it still runs")
	}
}

func TestSignalToAGoneProcessSaysSo(t *testing.T) {
	child := sleeper(t)
	if err := child.End(time.Second); err != nil {
		t.Fatal(err)
	}
	if err := child.Signal(syscall.SIGTERM); err != os.ErrProcessDone {
		t.Fatalf("got %v", err)
	}
}

func TestChildrenAreFoundByName(t *testing.T) {
	child := sleeper(t)
	self, err := Identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	children, err := self.Children()
	if err != nil {
		t.Fatal(err)
	}
	if children["sleep"] != child.PID {
		t.Fatalf("children %v lack sleep %d", children, child.PID)
	}
}

func sleeper(t *testing.T) Process {
	t.Helper()
	command := exec.Command("sleep", "60")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	process, err := Identify(command.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return process
}
