package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// wire is two namespaces joined by a veth pair: what is sent into one end comes
// out of the other, and is nobody's there.
type wire struct{ from, to string }

const (
	sendIface = "gen0"
	readIface = "sens0"
)

func newWire(ctx context.Context) (*wire, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("network namespaces need root")
	}
	w := &wire{fmt.Sprintf("sensor-bench-from-%d", os.Getpid()), fmt.Sprintf("sensor-bench-to-%d", os.Getpid())}
	for _, line := range []string{
		"netns add " + w.from,
		"netns add " + w.to,
		"link add name " + sendIface + " netns " + w.from + " type veth peer name " + readIface + " netns " + w.to,
		"-n " + w.from + " link set " + sendIface + " addrgenmode none",
		"-n " + w.to + " link set " + readIface + " addrgenmode none",
		"-n " + w.from + " link set " + sendIface + " txqueuelen 10000 up",
		"-n " + w.to + " link set " + readIface + " up",
	} {
		if out, err := exec.CommandContext(ctx, "ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			w.remove()
			return nil, fmt.Errorf("ip %s: %w: %s", line, err, bytes.TrimSpace(out))
		}
	}
	return w, nil
}

// remove takes down what was made.
func (w *wire) remove() {
	for _, ns := range []string{w.from, w.to} {
		_ = exec.Command("ip", "netns", "del", ns).Run() // it may not have come to that
	}
}

var (
	sentCount = regexp.MustCompile(`Successful packets: +(\d+)`)
	sentTime  = regexp.MustCompile(`sent in ([\d.]+) seconds`)
)

// send plays count packets of a capture at a rate; rate 0 is as fast as it goes.
// It returns how many went, and how many a second.
func (w *wire) send(ctx context.Context, capture string, rate, count int) (sent int, perSecond float64, err error) {
	args := []string{"netns", "exec", w.from, "tcpreplay", "-q", "-K", "-i", sendIface, "--loop", "0", "--limit", strconv.Itoa(count)}
	if rate > 0 {
		args = append(args, "--pps", strconv.Itoa(rate))
	} else {
		args = append(args, "--topspeed")
	}
	out, err := exec.CommandContext(ctx, "ip", append(args, capture)...).CombinedOutput()
	if err != nil {
		return 0, 0, fmt.Errorf("tcpreplay: %w: %s", err, out)
	}
	n, took := sentCount.FindSubmatch(out), sentTime.FindSubmatch(out)
	if n == nil || took == nil {
		return 0, 0, fmt.Errorf("tcpreplay: its report is not understood: %s", out)
	}
	sent, _ = strconv.Atoi(string(n[1]))
	seconds, _ := strconv.ParseFloat(string(took[1]), 64)
	return sent, float64(sent) / max(seconds, 1e-9), nil
}

// reader is a program that captures at the wire's other end.
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

// start runs a program at the other end and waits until it says that it
// captures.
func (w *wire) start(ctx context.Context, command ...string) (*reader, error) {
	r := &reader{}
	r.cmd = exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", w.to}, command...)...)
	r.cmd.Stderr = &r.log // and stdout to /dev/null
	if err := r.cmd.Start(); err != nil {
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

// cpu is the time that the process has had so far, in seconds.
func (r *reader) cpu() (float64, error) {
	clock := int32(^r.cmd.Process.Pid<<3 | 2) // CPUCLOCK_SCHED of a process, as clock_getcpuclockid(3) makes it
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		return 0, fmt.Errorf("read the process's clock: %w", err)
	}
	return float64(ts.Nano()) / 1e9, nil
}

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
