//go:build linux

package lab

import (
	"os/exec"
	"syscall"
	"testing"
)

func TestDaemon(t *testing.T) {
	d := StartDaemon(t, exec.Command("sh", "-c", "echo ready; exec sleep 600"))
	d.Await("it is ready", func() bool { return d.Log.Count("ready") == 1 })
	if d.ended() {
		t.Error("it has ended by itself")
	}
	d.Signal(syscall.SIGTERM)
	if !d.ended() || d.err == nil {
		t.Errorf("after SIGTERM: ended %v, error %v", d.ended(), d.err)
	}
	StartDaemon(t, exec.Command("true")).Wait()
}

// failing is a test that notes whether it failed.
type failing struct {
	testing.TB
	failed bool
}

func (f *failing) Fatalf(string, ...any) { f.failed = true }

// TestDaemonThatEnds: nobody waits for the full time for a program that is gone.
func TestDaemonThatEnds(t *testing.T) {
	d := StartDaemon(t, exec.Command("false"))
	f := &failing{TB: t}
	d.t = f
	d.Await("it is ready", func() bool { return f.failed })
	if !f.failed {
		t.Error("Await does not notice the end")
	}
	f.failed = false
	d.Wait()
	if !f.failed {
		t.Error("Wait does not notice the exit status")
	}
}
