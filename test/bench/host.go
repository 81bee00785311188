//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/test/bench/generator"
	"dnsmonster-sensor/test/testlog"
)

// host is a network namespace with one interface. Frames arrive there that are addressed
// to nobody.
type host struct {
	name       string
	namespace  string      // path of the network namespace
	generator  int         // the processor on which frames are made
	processors unix.CPUSet // all others, for the program that captures
}

const readIface = "sens0"

func newHost(ctx context.Context) (*host, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("network namespaces need root")
	}
	h := &host{name: fmt.Sprintf("sensor-bench-%d", os.Getpid())}
	if err := unix.SchedGetaffinity(0, &h.processors); err != nil {
		return nil, fmt.Errorf("ask for the processors: %w", err)
	}
	if h.processors.Count() < 2 {
		return nil, errors.New("two processors are needed: one makes the frames, the others read them")
	}
	for cpu := range 8 * int(unsafe.Sizeof(h.processors)) {
		if h.processors.IsSet(cpu) {
			h.generator = cpu
		}
	}
	h.processors.Clear(h.generator)
	var err error
	if h.namespace, err = generator.MakeNamespace(ctx, h.name, readIface); err != nil {
		return nil, err
	}
	return h, nil
}

// remove deletes the namespace.
func (h *host) remove() { generator.RemoveNamespace(h.name) }

// capturer is a running program that captures from the interface.
type capturer struct {
	cmd *exec.Cmd
	log testlog.Log
}

// start runs a program on the other processors, and waits until it logs that it
// captures.
func (h *host) start(ctx context.Context, command ...string) (*capturer, error) {
	c := &capturer{}
	c.cmd = exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", h.name}, command...)...)
	c.cmd.Stderr = &c.log // and stdout to /dev/null
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: the process inherits the thread's affinity
		err := unix.SchedSetaffinity(0, &h.processors)
		if err == nil {
			err = c.cmd.Start()
		}
		started <- err
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	for range 500 {
		if strings.Contains(c.log.String(), "capturing") {
			return c, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
	return nil, fmt.Errorf("%v does not start to capture:\n%s", command, c.log.String())
}

// cpuTime is the CPU time of a process in seconds.
type cpuTime struct {
	all  float64 // exact
	user float64 // to the kernel's tick
}

// cpu returns the CPU time of the process so far.
func (c *capturer) cpu() (cpuTime, error) {
	clock := int32(^c.cmd.Process.Pid<<3 | 2) // CPUCLOCK_SCHED of a process, as clock_getcpuclockid(3) makes it
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		return cpuTime{}, fmt.Errorf("read the process's clock: %w", err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		return cpuTime{}, fmt.Errorf("read the process's times: %w", err)
	}
	_, fields, _ := bytes.Cut(stat, []byte(") ")) // after the name
	ticks, err := strconv.Atoi(strings.Fields(string(fields))[userTime])
	if err != nil {
		return cpuTime{}, fmt.Errorf("read the process's times: %w", err)
	}
	return cpuTime{float64(ts.Nano()) / 1e9, float64(ticks) / ticksPerSecond}, nil
}

// In /proc/PID/stat: the index of the user time among the fields after the name, and its
// unit.
const (
	userTime       = 11
	ticksPerSecond = 100
)

// stop ends the program by SIGINT. Exit status 3, lost records, is a result and no error.
func (c *capturer) stop() (sample, error) {
	_ = c.cmd.Process.Signal(syscall.SIGINT)
	if err := c.cmd.Wait(); err != nil && c.cmd.ProcessState.ExitCode() != 3 {
		return sample{}, fmt.Errorf("%v: %w\n%s", c.cmd.Args, err, c.log.String())
	}
	return finished(c.cmd, 0, c.log.String()), nil
}
