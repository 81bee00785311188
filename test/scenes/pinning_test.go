//go:build linux

package scenes

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/sensor/cpus"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/program"
)

var allowedLine = regexp.MustCompile(`(?m)^Cpus_allowed_list:\s*(\S+)$`)

// threadsOn counts the threads of a process by the processors that they may use.
func threadsOn(t *testing.T, p *program.Process) map[string]int {
	t.Helper()
	found := make(map[string]int)
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.Cmd.Process.Pid))
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil {
			if m := allowedLine.FindSubmatch(b); m != nil {
				found[string(m[1])]++
			}
		}
	}
	return found
}

// TestPinnedWorkers: each worker's thread is bound to its processor, and only those
// threads are; packets are recorded as ever.
func TestPinnedWorkers(t *testing.T) {
	l := lab.New(t)
	allowed, err := cpus.Allowed()
	if err != nil || len(allowed) < 2 {
		t.Skipf("needs two processors: %v, %v", allowed, err)
	}
	list := fmt.Sprintf("%d,%d", allowed[1], allowed[0])
	p := program.Start(t, l.Server, "run", "--devname=lo", "--stdoutoutputtype=1", "--pincpus="+list, "--jsonfields=interface")
	p.WaitForCapture()
	p.Until("two workers are bound", func() bool {
		on := threadsOn(t, p)
		return on[fmt.Sprint(allowed[0])] == 1 && on[fmt.Sprint(allowed[1])] == 1 && on[cpus.Format(allowed)] > 1
	})
	if p.CountLines("msg=capturing", "workers=2 ") != 1 {
		t.Errorf("not two workers:\n%s", p.Log())
	}
	sendFrom(t, l.Server, "lo", "pinned")
	expectRecordedOn(p, "pinned", "lo")
}

// TestWorkersWithinAffinity: a process that may use one processor, as under taskset, has
// one worker, and cannot bind workers to another processor.
func TestWorkersWithinAffinity(t *testing.T) {
	l := lab.New(t)
	allowed, err := cpus.Allowed()
	if err != nil || len(allowed) < 2 {
		t.Skipf("needs two processors: %v, %v", allowed, err)
	}
	runtime.LockOSThread() // processes inherit the affinity of the thread that starts them
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	defer unix.SchedSetaffinity(0, &before)
	if err := cpus.Pin(allowed[0]); err != nil {
		t.Fatal(err)
	}
	p := program.Start(t, l.Server, "run", "--devname=lo", "--stdoutoutputtype=1")
	p.WaitForCapture()
	p.Stop().Expect(t, program.ExitOK)
	if p.CountLines("msg=capturing", "workers=1 ") != 1 {
		t.Errorf("not one worker:\n%s", p.Log())
	}
	out, err := program.Command(l.Server, "attach", "lo", fmt.Sprintf("--pincpus=%d", allowed[1])).CombinedOutput()
	want := fmt.Sprintf("--pincpus: processor %d is not one of those that this process may use: %d ", allowed[1], allowed[0])
	if err == nil || !strings.Contains(string(out), want) {
		t.Errorf("%v, want %q:\n%s", err, want, out)
	}
}
