package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// host is a network namespace with one interface. The frames that arrive there are
// addressed to nobody.
type host struct {
	name       string
	generator  int         // the processor that makes frames
	processors unix.CPUSet // all others, for the capturing program
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
	for _, line := range []string{
		"netns add " + h.name,
		"-n " + h.name + " link add name " + readIface + " type veth peer name far0",
		"-n " + h.name + " link set " + readIface + " addrgenmode none",
		"-n " + h.name + " link set far0 addrgenmode none",
		"-n " + h.name + " link set far0 up",
		"-n " + h.name + " link set " + readIface + " up",
	} {
		if out, err := exec.CommandContext(ctx, "ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			h.remove()
			return nil, fmt.Errorf("ip %s: %w: %s", line, err, bytes.TrimSpace(out))
		}
	}
	return h, nil
}

// namespace is the path of the network namespace.
func (h *host) namespace() string { return "/run/netns/" + h.name }

// remove removes the namespace.
func (h *host) remove() {
	_ = exec.Command("ip", "netns", "del", h.name).Run() // it may not exist
}

// reader is a program that captures on the interface.
type reader struct {
	cmd *exec.Cmd
	log lockedLog
}

type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start starts a program on its processors, and waits until it says that it captures.
func (h *host) start(ctx context.Context, command ...string) (*reader, error) {
	r := &reader{}
	r.cmd = exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", h.name}, command...)...)
	r.cmd.Stderr = &r.log // stdout goes to /dev/null
	began := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the process inherits the thread's processors
		err := unix.SchedSetaffinity(0, &h.processors)
		if err == nil {
			err = r.cmd.Start()
		}
		began <- err
	}()
	if err := <-began; err != nil {
		return nil, err
	}
	for range 500 {
		if strings.Contains(r.log.String(), "capturing") {
			return r, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	return nil, fmt.Errorf("%v does not begin:\n%s", command, r.log.String())
}

// cpuTime is the processor time of a process, in seconds.
type cpuTime struct {
	all  float64 // exact
	user float64 // as the kernel splits it, by ticks
}

// cpu returns the processor time of the process so far.
func (r *reader) cpu() (cpuTime, error) {
	clock := int32(^r.cmd.Process.Pid<<3 | 2) // CPUCLOCK_SCHED of a process, as clock_getcpuclockid(3) makes it
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		return cpuTime{}, fmt.Errorf("read the process's clock: %w", err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.cmd.Process.Pid))
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

// The field of the user time in /proc/PID/stat, counted after the name, and its unit.
const (
	userTime       = 11
	ticksPerSecond = 100
)

// stop stops the program in order. Exit status 3, lost records, is a result and not an
// error.
func (r *reader) stop() (sample, error) {
	_ = r.cmd.Process.Signal(syscall.SIGINT)
	if err := r.cmd.Wait(); err != nil && r.cmd.ProcessState.ExitCode() != 3 {
		return sample{}, fmt.Errorf("%v: %w\n%s", r.cmd.Args, err, r.log.String())
	}
	return finished(r.cmd, 0, r.log.String()), nil
}

var (
	runTime  = regexp.MustCompile(`(?m)^run_time_ns:\s+(\d+)`)
	runCount = regexp.MustCompile(`(?m)^run_cnt:\s+(\d+)`)
)

// programTime is the run time of the process's BPF programs by the kernel's count, in
// nanoseconds: 0 unless the kernel measures it (bpf_stats_enabled).
func (r *reader) programTime() (ns float64) {
	infos, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", r.cmd.Process.Pid))
	seen := map[string]bool{} // a program may have several descriptors
	for _, path := range infos {
		data, err := os.ReadFile(path)
		took, count := runTime.FindSubmatch(data), runCount.FindSubmatch(data)
		if err != nil || took == nil || count == nil || string(count[1]) == "0" {
			continue
		}
		id := programID.FindString(string(data))
		if !seen[id] {
			seen[id] = true
			n, _ := strconv.ParseFloat(string(took[1]), 64)
			ns += n
		}
	}
	return ns
}

var programID = regexp.MustCompile(`(?m)^prog_id:\s+\d+`)
