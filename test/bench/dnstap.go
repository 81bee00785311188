//go:build linux

package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// taps are the sensor's jobs with one connection.
var taps = []tapJob{
	{job{name: "null output", args: []string{"--nulloutputtype", "1"}}, fast},
	{job{name: "JSON to /dev/null", args: []string{"--stdoutoutputtype", "1"}}, fast},
	{job{name: "JSON into a file", args: []string{"--fileoutputtype", "1", "--fileoutputpath", "@DIR@"}}, steady},
	{job{name: "dnstap into a file", args: []string{"--dnstapoutputtype", "1", "--dnstapoutputaddress", "@DIR@"}}, steady},
}

// tapJob is a job with the rate at which its CPU time is measured, in frames per second. At
// a rate, much of it is the kernel's work for waking two idle processors again and again.
type tapJob struct {
	job
	rate int
}

// receiver is golang-dnstap's program, which writes the frames that it receives.
const receiver = "golang-dnstap: dnstap -w"

const fast, steady = 1_000_000_000, 400_000 // fast: without pauses

// rates are tried in turn for the highest one without loss.
var rates = []int{400_000, 600_000, 800_000, 1_000_000, 1_300_000, 1_600_000, 2_000_000}

// tap measures the dnstap input.
type tap struct {
	fileOptions
	tools   string
	dir     string // for sockets and files
	frames  []byte // of a resolver, each with its length
	number  int
	of      map[string]series
	lost    map[string]int
	highest map[string]int // rate without loss
}

func benchDnstap(ctx context.Context, args []string) (err error) {
	m := &tap{of: make(map[string]series), lost: make(map[string]int), highest: make(map[string]int)}
	flags := flag.NewFlagSet("bench dnstap", flag.ExitOnError)
	flags.StringVar(&m.sensor, "sensor", "./dnsmonster-sensor", "the `binary` to measure")
	flags.StringVar(&m.cache, "captures", filepath.Join("build", "captures"), "`folder` for the frames; existing ones are used")
	flags.StringVar(&m.tools, "tools", filepath.Join("build", "tools"), "`folder` of golang-dnstap's program")
	flags.IntVar(&m.rounds, "rounds", 5, "`number` of rounds for the medians")
	flags.StringVar(&m.doc, "doc", "", "also insert the figures into this `page`, between its markers")
	flags.StringVar(&m.report, "report", filepath.Join("build", "bench-dnstap.md"), "`file` for the figures")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := m.load(ctx); err != nil {
		return err
	}
	if m.dir, err = os.MkdirTemp("", "bench-dnstap"); err != nil {
		return err
	}
	defer os.RemoveAll(m.dir)
	for round := range m.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, m.rounds)
		if err := m.round(ctx); err != nil {
			return err
		}
	}
	for _, j := range []tapJob{taps[1], taps[2]} {
		if err := m.search(ctx, j.job); err != nil {
			return err
		}
	}
	return keep(m.markdown(), m.report, m.doc, "make bench-dnstap")
}

// million is how many frames are sent.
const million = 1_000_000

// load reads the first million frames of a resolver, which are recorded once.
func (m *tap) load(ctx context.Context) error {
	if err := os.MkdirAll(m.cache, 0o755); err != nil {
		return err
	}
	file, err := cached("resolver", filepath.Join(m.cache, "resolver.fstrm"), func(to string) error {
		fmt.Fprintf(os.Stderr, "recording frames of a real resolver, once: %s\n", to)
		cmd := exec.CommandContext(ctx, "packaging/dev/record-dnstap.sh", "resolver", to, strconv.Itoa(million))
		cmd.Stderr = os.Stderr
		return cmd.Run()
	})
	if err != nil {
		return err
	}
	content, err := os.ReadFile(file.path)
	if err != nil {
		return err
	}
	if m.frames, m.number, err = dataFrames(content, million); err != nil {
		return fmt.Errorf("%s: %w", file.path, err)
	}
	return nil
}

func (m *tap) round(ctx context.Context) error {
	for _, j := range taps {
		s, lost, err := m.receive(ctx, j.job, j.rate, "--workers", "1", "--gomaxprocs", "1")
		if err != nil {
			return fmt.Errorf("%s: %w", j.name, err)
		}
		m.of[j.name] = append(m.of[j.name], s)
		m.lost[j.name] += lost
	}
	s, err := m.beside(ctx)
	m.of[receiver] = append(m.of[receiver], s)
	return err
}

// search finds the highest rate without loss, with the sensor's usual settings.
func (m *tap) search(ctx context.Context, j job) error {
	for _, rate := range rates {
		_, lost, err := m.receive(ctx, j, rate)
		if err != nil {
			return fmt.Errorf("%s: %w", j.name, err)
		}
		if lost > 0 {
			return nil
		}
		m.highest[j.name] = rate
	}
	return nil
}

// receive runs the sensor while all frames are sent to it, and returns its cost and how
// many records it did not deliver.
func (m *tap) receive(ctx context.Context, j job, rate int, more ...string) (sample, int, error) {
	dir, err := os.MkdirTemp(m.dir, "run")
	if err != nil {
		return sample{}, 0, err
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "socket")
	args := append([]string{"dnstap", "unix://" + socket, "--verbose"}, more...)
	for _, a := range j.args {
		args = append(args, strings.ReplaceAll(a, "@DIR@", dir))
	}
	cmd := exec.CommandContext(ctx, m.sensor, args...)
	if rate == fast {
		cmd = onOne(cmd)
	}
	s, err := m.serve(ctx, socket, rate, cmd)
	if err != nil {
		return s, 0, err
	}
	received, err := numberIn(s.log, inPackets)
	if err != nil {
		return s, 0, err
	}
	delivered, err := numberIn(s.log, inDelivered)
	if err != nil {
		return s, 0, err
	}
	if received != m.number {
		return s, 0, fmt.Errorf("%d frames were received, want %d", received, m.number)
	}
	return s, received - delivered, nil
}

var (
	inPackets   = regexp.MustCompile(`(?m)^ *packet +in (\d+)`)
	inDelivered = regexp.MustCompile(`(?m)^ *delivery .*, delivered (\d+)`)
)

func numberIn(log string, in *regexp.Regexp) (int, error) {
	found := in.FindStringSubmatch(log)
	if found == nil {
		return 0, fmt.Errorf("no ledgers in the log:\n%s", log)
	}
	return strconv.Atoi(found[1])
}

// beside measures golang-dnstap's receiver.
func (m *tap) beside(ctx context.Context) (sample, error) {
	socket, file := filepath.Join(m.dir, "beside"), filepath.Join(m.dir, "beside.fstrm")
	defer os.Remove(file)
	cmd := onOne(exec.CommandContext(ctx, filepath.Join(m.tools, "dnstap"), "-u", socket, "-w", file))
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	return m.serve(ctx, socket, fast, cmd)
}

// onOne runs a command on the processor of a fast sender. Two virtual processors are often
// the threads of one core: side by side, each program would take longer.
func onOne(cmd *exec.Cmd) *exec.Cmd {
	c := *cmd
	c.Path, c.Args = "/usr/bin/taskset", append([]string{"taskset", "--cpu-list", "0", cmd.Path}, cmd.Args[1:]...)
	return &c
}

// serve runs a receiver, sends it all frames, and interrupts it.
func (m *tap) serve(ctx context.Context, socket string, rate int, cmd *exec.Cmd) (sample, error) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return sample{}, err
	}
	defer null.Close()
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = null, &log
	if err := cmd.Start(); err != nil {
		return sample{}, err
	}
	begin := time.Now()
	sendErr := send(socket, m.frames, m.number, rate)
	took, memory := time.Since(begin), peak(cmd.Process.Pid)
	cmd.Process.Signal(syscall.SIGINT)
	err = cmd.Wait()
	if sendErr != nil {
		return sample{}, fmt.Errorf("send: %w\n%s", sendErr, log.Bytes())
	}
	if code := cmd.ProcessState.ExitCode(); err != nil && code != 3 { // 3: not all was delivered
		return sample{}, fmt.Errorf("run %v: %w\n%s", cmd.Args, err, log.Bytes())
	}
	s := finished(cmd, took, log.String())
	s.rss = memory // the kernel's own number begins with that of this process, which holds all frames
	return s, nil
}

var inPeak = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB`)

// peak is the most memory that a process has used, 0 if it is not known.
func peak(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	kib, err := numberIn(string(status), inPeak)
	if err != nil {
		return 0
	}
	return int64(kib) << 10
}

func (m *tap) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nMedians of %d rounds, the programs in turn; %d frames of a resolver (%d bytes on average) over one connection to a unix socket, one processor; a sender without pauses shares it. CPU seconds are user and system time of the whole process.\n",
		machine(m.sensor), m.rounds, m.number, len(m.frames)/m.number)
	b.WriteString("\n| receiver | frames sent per second | CPU s (least - most) | frames per CPU second | lost in all rounds | memory |\n|---|---|---|---|---|---|\n")
	for _, j := range taps {
		m.line(&b, j.name, j.rate)
	}
	m.line(&b, receiver, fast)
	b.WriteString("\n| highest rate tried that lost nothing, two processors, sender included | frames per second |\n|---|---|\n")
	for _, j := range []tapJob{taps[1], taps[2]} {
		fmt.Fprintf(&b, "| %s | %d |\n", j.name, m.highest[j.name])
	}
	return b.String()
}

func (m *tap) line(b *strings.Builder, name string, rate int) {
	s := m.of[name]
	sent := "without pauses"
	if rate != fast {
		sent = fmt.Sprint(rate)
	}
	fmt.Fprintf(b, "| %s | %s | %s | %.2f M | %d | %d MiB |\n", name, sent, spreadText(s), float64(m.number)/s.cpu()/1e6, m.lost[name], s.rss()>>20)
}
