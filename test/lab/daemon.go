//go:build linux

package lab

import (
	"os/exec"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/testlog"
)

// Daemon is a program in the background. The end of the test ends it with SIGTERM, or
// with SIGKILL after five seconds.
type Daemon struct {
	Log testlog.Log // stderr, and stdout unless the command has set that

	t    testing.TB
	cmd  *exec.Cmd
	done chan struct{} // closed when the program has ended
	err  error         // of cmd.Wait, once done is closed
}

// StartDaemon starts a command in the background.
func StartDaemon(t testing.TB, cmd *exec.Cmd) *Daemon {
	t.Helper()
	d := &Daemon{done: make(chan struct{}), t: t, cmd: cmd}
	if cmd.Stdout == nil {
		cmd.Stdout = &d.Log
	}
	cmd.Stderr = &d.Log
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", cmd, err)
	}
	go func() {
		d.err = cmd.Wait()
		close(d.done)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-d.done:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-d.done
		}
	})
	return d
}

// Await waits until a condition holds. The test fails if the program ends first.
func (d *Daemon) Await(what string, condition func() bool) {
	d.t.Helper()
	await.True(d.t, what, func() bool {
		ended := d.ended() // before the condition: what the program did last counts
		holds := condition()
		if ended && !holds {
			d.t.Fatalf("%s ended before: %s\n%s", d.cmd, what, d.Log.String())
		}
		return holds
	}, &d.Log)
}

// Wait waits until the program ends by itself. Another exit status than 0 fails the test.
func (d *Daemon) Wait() {
	d.t.Helper()
	await.True(d.t, "it ends", d.ended, &d.Log)
	if d.err != nil {
		d.t.Fatalf("%s: %v\n%s", d.cmd, d.err, d.Log.String())
	}
}

// Signal sends a signal, and waits until the program ends.
func (d *Daemon) Signal(s syscall.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		d.t.Fatal(err)
	}
	await.True(d.t, "it ends", d.ended, &d.Log)
}

func (d *Daemon) ended() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}
