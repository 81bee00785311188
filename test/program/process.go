package sensor

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/bpf"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/userspace/account"
)

// TestMain lets a test run this program as a process of its own: the test
// binary is the sensor where it is told so.
func TestMain(m *testing.M) {
	if os.Getenv("SENSOR_TEST_MAIN") == "1" {
		os.Exit(Main(os.Args, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// long picks between the length of a scene in `make test` and in `make
// test-all`.
func long(short, full time.Duration) time.Duration {
	return tier.Length(short, full)
}

// journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// stuck is how long a test waits for what comes in a moment on a machine that has
// nothing else to do.
const stuck = 2 * time.Minute

// proc is the sensor as a process. Records go to a file.
type proc struct {
	t       *testing.T
	cmd     *exec.Cmd
	records string
	stderr  journal
	lines   chan struct{} // one for each line on stderr
	ended   chan struct{}
}

// command makes the sensor a command, in a lab's host or, where that is nil,
// here.
func command(host *lab.Host, args ...string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(exe, args...)
	if host != nil {
		cmd = host.Command(context.Background(), exe, args...)
	}
	cmd.Env = append(os.Environ(), "SENSOR_TEST_MAIN=1")
	return cmd
}

// start runs the sensor in the background until the test ends.
func start(t *testing.T, host *lab.Host, args ...string) *proc {
	t.Helper()
	p := prepared(t, host, args...)
	p.run()
	return p
}

// fed starts a replay of what the test writes to in, text before all, which goes
// on until the test closes in.
func fed(t *testing.T, text []byte, args ...string) (p *proc, in io.WriteCloser) {
	t.Helper()
	p = prepared(t, nil, append([]string{"replay", "-"}, args...)...)
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.run()
	if _, err := in.Write(text); err != nil {
		t.Fatal(err)
	}
	return p, in
}

func prepared(t *testing.T, host *lab.Host, args ...string) *proc {
	return &proc{
		t: t, cmd: command(host, args...), records: filepath.Join(t.TempDir(), "records.json"),
		lines: make(chan struct{}, 1000), ended: make(chan struct{}),
	}
}

func (p *proc) run() {
	p.t.Helper()
	out, err := os.Create(p.records)
	if err != nil {
		p.t.Fatal(err)
	}
	defer out.Close()
	p.cmd.Stdout = out
	pipe, err := p.cmd.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go p.follow(pipe)
	p.t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.ended
	})
}

// follow keeps what the process says until it ends.
func (p *proc) follow(stderr io.Reader) {
	for s := bufio.NewScanner(stderr); s.Scan(); {
		io.WriteString(&p.stderr, s.Text()+"\n")
		select {
		case p.lines <- struct{}{}:
		default:
		}
	}
	p.cmd.Wait()
	close(p.ended)
}

// attach starts the sensor on a host's interface and waits until it captures.
func attach(t *testing.T, host *lab.Host, args ...string) *proc {
	t.Helper()
	p := start(t, host, append([]string{"attach", host.Iface}, args...)...)
	p.waitFor("msg=capturing")
	return p
}

// waitFor waits for a text on stderr.
func (p *proc) waitFor(text string) {
	p.t.Helper()
	timeout := time.After(stuck)
	for !strings.Contains(p.log(), text) {
		select {
		case <-p.lines:
		case <-p.ended:
			if !strings.Contains(p.log(), text) {
				p.t.Fatalf("the sensor ended without saying %q:\n%s", text, p.log())
			}
		case <-timeout:
			p.t.Fatalf("the sensor does not say %q:\n%s", text, p.log())
		}
	}
}

// until waits for what becomes true while the sensor runs.
func (p *proc) until(what string, is func() bool) {
	p.t.Helper()
	for end := time.Now().Add(stuck); !is(); time.Sleep(5 * time.Millisecond) {
		select {
		case <-p.ended:
			if !is() {
				p.t.Fatalf("the sensor ended before: %s\n%s", what, p.log())
			}
			return
		default:
		}
		if time.Now().After(end) {
			p.t.Fatalf("waited in vain: %s\n%s", what, p.log())
		}
	}
}

func (p *proc) log() string { return p.stderr.String() }

// stop sends SIGTERM and waits for the end.
func (p *proc) stop() result {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	return p.wait(stuck)
}

func (p *proc) wait(limit time.Duration) result {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(limit):
		p.t.Fatalf("the sensor does not end within %s:\n%s", limit, p.log())
	}
	return result{code: p.cmd.ProcessState.ExitCode(), log: p.log(), books: parseBooks(p.log())}
}

// result is what a run left behind.
type result struct {
	code  int
	log   string
	books map[string]map[string]uint64 // ledger, outcome or "in"
}

var bookLine = regexp.MustCompile(`^  (\S.*?)\s+in (\d+)(.*); unaccounted (-?\d+)$`)

// parseBooks reads the summary.
func parseBooks(log string) map[string]map[string]uint64 {
	books := map[string]map[string]uint64{}
	for line := range strings.Lines(log) {
		m := bookLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			continue
		}
		ledger := map[string]uint64{}
		ledger["in"], _ = strconv.ParseUint(m[2], 10, 64)
		for part := range strings.SplitSeq(strings.TrimPrefix(m[3], ", "), ", ") {
			if name, n, ok := strings.Cut(part, " "); ok {
				ledger[name], _ = strconv.ParseUint(n, 10, 64)
			}
		}
		books[m[1]] = ledger
	}
	return books
}

// sum adds up one entry over all ledgers whose name starts with prefix.
func (r result) sum(prefix, entry string) (n uint64) {
	for name, ledger := range r.books {
		if strings.HasPrefix(name, prefix) {
			n += ledger[entry]
		}
	}
	return n
}

// expect checks exit status and that the books balance.
func (r result) expect(t *testing.T, code int) {
	t.Helper()
	if r.code != code || !strings.Contains(r.log, "\nunaccounted 0\n") {
		t.Errorf("exit status %d, want %d, and unaccounted 0:\n%s", r.code, code, r.log)
	}
}

// lost is how much a run lost, by the names in its books.
func (r result) lost() (n uint64) {
	for _, name := range lossNames() {
		n += r.sum("kernel", name) + r.sum("packet", name) + r.sum("delivery", name)
	}
	return n
}

// lossNames are the outcomes that mean that something has not arrived.
func lossNames() (names []string) {
	for _, c := range bpf.Defined() {
		if c.Kind == bpf.KindLost {
			names = append(names, c.Name)
		}
	}
	none := func() uint64 { return 0 }
	for _, l := range []account.Ledger{account.PacketLedger(account.NewPacketCounters(), none), account.DeliveryLedger("", account.NewDeliveryCounters(), none)} {
		for _, o := range l.Outcomes {
			if o.Lost {
				names = append(names, o.Name)
			}
		}
	}
	return names
}

// expectCounted is expect for a run that has no promise to lose nothing, on a
// machine that may be busy: what it lost, it must have counted. It returns that.
func (r result) expectCounted(t *testing.T) uint64 {
	t.Helper()
	code := exitOK
	if r.lost() > 0 {
		code = exitUndelivered
	}
	r.expect(t, code)
	return r.lost()
}

// tally counts records by family and kind; a line that is no record fails.
type tally struct{ queries4, responses4, queries6, responses6 uint64 }

func (c tally) total() uint64 { return c.queries4 + c.responses4 + c.queries6 + c.responses6 }

func count(t *testing.T, path string) (c tally) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		b := s.Bytes()
		response := bytes.Contains(b, []byte(`"Response":true,`))
		v6 := bytes.Contains(b, []byte(`"IPVersion":6,`))
		switch {
		case !bytes.HasPrefix(b, []byte(`{"Timestamp":"`)) || !bytes.HasSuffix(b, []byte(`}`)):
			t.Fatalf("not a record: %s", b)
		case v6 && response:
			c.responses6++
		case v6:
			c.queries6++
		case response:
			c.responses4++
		default:
			c.queries4++
		}
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return c
}

// othersShare begins to measure how much of the machine's time programs have that
// are neither this test nor the process. What the kernel does for packets is
// nobody's.
func othersShare(t *testing.T, pid int) (since func() float64) {
	t.Helper()
	read := func() (all, others float64) { // ticks
		t.Helper()
		var user, nice, system, idle, wait, irq, soft, steal float64
		b, err := os.ReadFile("/proc/stat")
		if err == nil {
			_, err = fmt.Sscanf(string(b), "cpu %f %f %f %f %f %f %f %f", &user, &nice, &system, &idle, &wait, &irq, &soft, &steal)
		}
		if err != nil {
			t.Fatal(err)
		}
		others = user + nice + system + steal
		for _, of := range []string{"self", strconv.Itoa(pid)} {
			b, err := os.ReadFile("/proc/" + of + "/stat")
			if err != nil {
				t.Fatal(err)
			}
			f := strings.Fields(string(b[bytes.LastIndexByte(b, ')'):]))
			for _, field := range f[12:14] { // utime and stime
				ticks, err := strconv.ParseFloat(field, 64)
				if err != nil {
					t.Fatal(err)
				}
				others -= ticks
			}
		}
		return user + nice + system + idle + wait + irq + soft + steal, others
	}
	all, others := read()
	return func() float64 {
		t.Helper()
		allNow, othersNow := read()
		return (othersNow - others) / (allNow - all)
	}
}

// peakMemory is the most memory that a running process has had, in MiB.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kb / 1024
		}
	}
	t.Fatal("no VmHWM in /proc")
	return 0
}
