package stdout

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/format"
	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// parsed sets the options of o from a command line.
func parsed(t outputtest.T, o *Output, args ...string) *Output {
	t.Helper()
	outputtest.Options(t, o, args...)
	return o
}

func TestSettings(t *testing.T) {
	f := func(args, problem string) {
		t.Helper()
		_, err := parsed(t, New(), strings.Fields(args)...).Settings()
		if problem == "" && err != nil || problem != "" && (err == nil || !strings.Contains(err.Error(), problem)) {
			t.Errorf("%s: error %v, want %q", args, err, problem)
		}
	}
	f("", "")
	f("--stdoutoutputtype 1", "")
	f("--stdoutoutputtype 5", "stdoutoutputtype: 5 is not one of 0 to 4")
	f("--stdoutoutputtype -1", "stdoutoutputtype: -1 is not one of 0 to 4")
	f("--stdoutoutputworkercount 0", "stdoutoutputworkercount: must be at least 1, not 0")
	f("--stdoutoutputformat xml", `stdoutoutputformat: unknown format "xml"`)
	f("--stdoutoutputformat json-ocsf", "")
	f("--stdoutoutputformat gotemplate --stdoutoutputgotemplate {{.NoSuch}}", "stdoutoutputgotemplate: ")
}

func TestDefaultsAndEnvironment(t *testing.T) {
	s, _ := parsed(t, newOutput(nil)).Settings()
	if s.Type != outputs.Off || s.Workers != 8 {
		t.Errorf("defaults: type %d, %d workers; want 0, 8", s.Type, s.Workers)
	}
	t.Setenv("DNSMONSTER_STDOUTOUTPUTTYPE", "1")
	t.Setenv("DNSMONSTER_STDOUTOUTPUTWORKERCOUNT", "3")
	t.Setenv("DNSMONSTER_STDOUTOUTPUTFORMAT", "csv")
	t.Setenv("DNSMONSTER_STDOUTOUTPUTGOTEMPLATE", "{{.DNS}}")
	o := parsed(t, New())
	if o.IsOff() || o.Workers != 3 || o.Choice != (format.Choice{Name: "csv", Template: "{{.DNS}}"}) {
		t.Errorf("from the environment: off %v, %d, %+v", o.IsOff(), o.Workers, o.Choice)
	}
}

// faultyFile is a file on a disk that fails or hangs when a test asks for it.
type faultyFile struct {
	file *os.File
	disk outputtest.Disk
}

func (f *faultyFile) Write(p []byte) (int, error) { return f.disk.Write(f.file, p) }

func TestConformance(t *testing.T) {
	outputtest.Run(t, func(t outputtest.T) *outputtest.Target {
		file, err := os.CreateTemp("", "stdout")
		if err != nil {
			t.Fatalf("%v", err)
		}
		t.Cleanup(func() {
			file.Close()
			os.Remove(file.Name())
		})
		out := &faultyFile{file: file}
		return &outputtest.Target{
			Output:   parsed(t, newOutput(out)),
			Want:     func(e *event.Event) []string { return []string{record(e)} },
			Received: func() []string { return lines(t, file.Name()) },
			Fail:     out.disk.Fail,
			Hang:     out.disk.Hang,
		}
	})
}

func record(e *event.Event) string {
	return strings.TrimSuffix(string(new(format.JSON).Append(nil, e)), "\n")
}

func lines(t outputtest.T, path string) []string {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v", err)
	}
	list := strings.Split(string(data), "\n")
	if last := list[len(list)-1]; last != "" {
		t.Errorf("the file ends with an incomplete line: %q", last)
	}
	return list[:len(list)-1]
}

// Defect 22: several workers on one pipe broke 6 to 8 of 100 lines.
func TestDefect22(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	const n = 20000
	seen := make(chan map[string]int, 1)
	go func() {
		names := make(map[string]int)
		for s := bufio.NewScanner(r); s.Scan(); {
			var line struct {
				DNS struct{ Question []struct{ Name string } }
			}
			if err := json.Unmarshal(s.Bytes(), &line); err != nil || len(line.DNS.Question) != 1 {
				t.Errorf("broken line %q: %v", s.Text(), err)
				continue
			}
			names[line.DNS.Question[0].Name]++
		}
		seen <- names
	}()

	run := start(t, newOutput(w), 8, 50)
	in := run.Intake()
	for i := range n {
		in.Offer(outputtest.Query(i))
	}
	in.Flush()
	run.Stop(context.Background())
	w.Close()
	names := <-seen
	for i := range n {
		if name := outputtest.QueryName(i); names[name] != 1 {
			t.Errorf("%s is in %d lines, want 1", name, names[name])
		}
	}
	if l := run.Ledger(func() uint64 { return n }); l.Outcomes[account.Delivered].Value != n {
		t.Errorf("ledger %+v, want %d delivered", l, n)
	}
}

func start(t *testing.T, o *Output, workers, batch int) *outputs.Runner {
	t.Helper()
	set := outputs.Settings{Type: outputs.All, Workers: workers, BatchSize: batch}
	run, err := outputs.NewRunner(parsed(t, o), set, false, event.NewIDs(), account.NewDeliveryCounters(), nil)
	if err != nil {
		t.Fatal(err)
	}
	run.Start(context.Background())
	return run
}

// A reader that leaves ends the output, and nothing waits for the output any more.
func TestReaderLeaves(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	run := start(t, newOutput(w), 4, 10)
	r.Close()
	in := run.Intake()
	const n = 500
	for i := range n {
		in.Offer(outputtest.Query(i))
	}
	in.Flush()
	select {
	case <-run.Ended():
	case <-time.After(time.Minute):
		t.Fatal("Ended is not closed")
	}
	if !errors.Is(run.Err(), outputs.ErrReaderGone) || !errors.Is(run.Err(), syscall.EPIPE) {
		t.Errorf("Err = %v, want ErrReaderGone because of EPIPE", run.Err())
	}
	run.Stop(context.Background())
	l := run.Ledger(func() uint64 { return n })
	if l.Unaccounted() != 0 || l.Outcomes[account.Abandoned].Value != n {
		t.Errorf("ledger %+v, want all %d abandoned", l, n)
	}
}

// The descriptor of the standard output is duplicated, so that EPIPE is an error and
// does not end the process.
func TestOwnDescriptor(t *testing.T) {
	o := parsed(t, New())
	w, err := o.Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	f, ok := o.out.(*os.File)
	if !ok || f.Fd() < 3 {
		t.Fatalf("writes to %v, want a copy of descriptor 1", o.out)
	}
	defer f.Close()
	a, err := os.Stdout.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := f.Stat(); err != nil || !os.SameFile(a, b) {
		t.Errorf("writes to another file than the standard output (%v)", err)
	}
}

// A block is written by one call.
func TestOneWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	c := &countingFile{f: file}
	run := start(t, newOutput(c), 1, 100)
	in := run.Intake()
	for i := range 300 {
		in.Offer(outputtest.Query(i))
	}
	in.Flush()
	run.Stop(context.Background())
	if c.writes != 3 || len(lines(t, path)) != 300 {
		t.Errorf("%d writes, %d lines; want 3, 300", c.writes, len(lines(t, path)))
	}
}

type countingFile struct {
	f      *os.File
	writes int
}

func (c *countingFile) Write(p []byte) (int, error) {
	c.writes++
	return c.f.Write(p)
}

// Writers that take turns use the same memory, not one each.
func TestWritersShareFormatter(t *testing.T) {
	o := parsed(t, newOutput(io.Discard), "--stdoutoutputtype", "1")
	var writers []outputs.Writer
	for range 8 {
		w, err := o.Open(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		writers = append(writers, w)
	}
	for i, w := range writers {
		if _, err := w.Write(context.Background(), outputtest.Queries(i, 1)); err != nil {
			t.Fatal(err)
		}
	}
	used := 0
	for _, p := range o.pool.list {
		if p.text != nil {
			used++
		}
	}
	if len(o.pool.list) != len(writers) || used != 1 {
		t.Errorf("%d writers have %d formatters, %d were used; want 1", len(writers), len(o.pool.list), used)
	}
}

// blockedPipe is a pipe that nobody reads at first.
type blockedPipe struct {
	open chan struct{} // closed: it is read; a value: one write is read
	mu   sync.Mutex
	text []byte
}

func (b *blockedPipe) Write(p []byte) (int, error) {
	<-b.open
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	return len(p), nil
}

// TestNobodyReads: while nobody reads, each attempt ends with its context, Open too;
// Close does not wait. Once somebody reads, each block arrives whole and once, after
// the header.
func TestNobodyReads(t *testing.T) {
	pipe := &blockedPipe{open: make(chan struct{})}
	o := parsed(t, newOutput(pipe), "--stdoutoutputformat", "csv")
	soon := func() context.Context {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	for range 3 {
		if _, err := o.Open(soon()); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, outputs.ErrPermanent) {
			t.Fatalf("Open: %v, want a temporary error", err)
		}
	}
	pipe.open <- struct{}{} // the header
	w, err := o.Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	other, err := o.Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	first, second := outputtest.Queries(0, 5), outputtest.Queries(5, 5)
	for range 3 {
		if _, err := w.Write(soon(), first); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Write: %v", err)
		}
		if _, err := other.Write(soon(), second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Write of the waiting writer: %v", err)
		}
	}
	closed := time.Now()
	if err := other.Close(); err != nil || time.Since(closed) > 5*time.Second {
		t.Errorf("Close: %v after %s", err, time.Since(closed))
	}
	close(pipe.open)
	for _, b := range []*event.Block{first, outputtest.Queries(10, 5)} {
		if _, err := w.Write(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	f, err := format.New("csv", format.Options{})
	if err != nil {
		t.Fatal(err)
	}
	text, ok := strings.CutPrefix(string(pipe.text), f.Header)
	got := regexp.MustCompile(`n[0-9]+\.example\.org\.`).FindAllString(text, -1)
	var want []string
	for _, i := range []int{0, 1, 2, 3, 4, 10, 11, 12, 13, 14} {
		want = append(want, outputtest.QueryName(i))
	}
	if !ok || strings.Count(text, "\n") != len(want) || !slices.Equal(got, want) {
		t.Errorf("got\n%s", pipe.text)
	}
}
