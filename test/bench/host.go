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

// host is a network namespace with one interface, at which frames arrive that
// are nobody's there.
type host struct {
	name       string
	generator  int         // the processor that frames are made on
	processors unix.CPUSet // all others: of the programs that read
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

// remove takes down what was made.
func (h *host) remove() {
	_ = exec.Command("ip", "netns", "del", h.name).Run() // it may not have come to that
}

// reader is a program that captures at the interface.
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

// start runs a program on the processors that are left to it, and waits until it
// says that it captures.
func (h *host) start(ctx context.Context, command ...string) (*reader, error) {
	r := &reader{}
	r.cmd = exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", h.name}, command...)...)
	r.cmd.Stderr = &r.log // and stdout to /dev/null
	began := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the process inherits the thread's processors
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

// cpuTime is what a process had of processors, in seconds.
type cpuTime struct {
	all  float64 // exactly
	user float64 // as the kernel divides it by its ticks
}

// cpu is the time that the process has had so far.
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
	_, fields, _ := bytes.Cut(stat, []byte(") ")) // behind the name
	ticks, err := strconv.Atoi(strings.Fields(string(fields))[userTime])
	if err != nil {
		return cpuTime{}, fmt.Errorf("read the process's times: %w", err)
	}
	return cpuTime{float64(ts.Nano()) / 1e9, float64(ticks) / ticksPerSecond}, nil
}

// Of /proc/PID/stat: the place of the user time behind the name, and its unit.
const (
	userTime       = 11
	ticksPerSecond = 100
)

// stop ends the program in an orderly way. That records were lost, status 3, is
// a result.
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

// programTime is what the kernel says that the process's BPF programs took, in
// nanoseconds. It is 0 where the kernel does not measure (bpf_stats_enabled).
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
