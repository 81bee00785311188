package outputs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// testEvent is a DNS header without questions, with that id.
func testEvent(id uint16) *event.Event {
	e := &event.Event{
		Src: netip.MustParseAddrPort("192.0.2.1:5353"), Dst: netip.MustParseAddrPort("192.0.2.53:53"),
		Proto: event.UDP, Message: []byte{byte(id >> 8), byte(id), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	}
	dns.Read(e.Message, false, &e.DNS)
	return e
}

// fake is an output whose writers and opens do what a test says.
type fake struct {
	open  func(ctx context.Context) error
	write func(ctx context.Context, b *event.Block) (int, error)

	mu     sync.Mutex
	closes int
}

func (f *fake) Name() string                { return "fake" }
func (f *fake) Flags() []cli.Flag           { return nil }
func (f *fake) Settings() (Settings, error) { return Settings{}, nil }
func (f *fake) Open(ctx context.Context) (Writer, error) {
	if f.open != nil {
		if err := f.open(ctx); err != nil {
			return nil, err
		}
	}
	return f, nil
}
func (f *fake) Write(ctx context.Context, b *event.Block) (int, error) {
	if f.write == nil {
		return 0, nil
	}
	return f.write(ctx, b)
}
func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closes++
	return nil
}

func quick(workers, batch int) Settings {
	return Settings{Type: All, Workers: workers, BatchSize: batch, RetryFirst: time.Millisecond, RetryMax: 4 * time.Millisecond}
}

func testRunner(t testing.TB, f *fake, set Settings, live bool, log *slog.Logger) *Runner {
	t.Helper()
	r, err := NewRunner(f, set, live, event.NewIDs(), account.NewDeliveryCounters(), log)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func offer(in *Intake, n int) {
	for i := range n {
		in.Offer(testEvent(uint16(i)))
	}
	in.Flush()
}

// check compares the ledger at rest; counts are "name value" for all outcomes
// and meters that are not 0.
func checkLedger(t *testing.T, r *Runner, offered uint64, want string) {
	t.Helper()
	l := r.Ledger(func() uint64 { return offered })
	if l.Unaccounted() != 0 || l.Held != 0 || l.Label != "fake" {
		t.Errorf("%d unaccounted, %d held: %+v", l.Unaccounted(), l.Held, l)
	}
	values := make(map[string]uint64)
	for _, line := range append(l.Outcomes, l.Meters...) {
		values[line.Name] = line.Value
	}
	for name, value := range parseCounts(t, want) {
		if values[name] != value {
			t.Errorf("%s %d, want %d", name, values[name], value)
		}
	}
}

// shortly is a grace time that is over soon.
func shortGrace() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	context.AfterFunc(ctx, cancel)
	return ctx
}

func TestValidate(t *testing.T) {
	f := func(change func(*Settings), problem string) {
		t.Helper()
		s := quick(1, 1)
		change(&s)
		_, err := NewRunner(&fake{}, s, false, event.NewIDs(), account.NewDeliveryCounters(), nil)
		if problem == "" && err != nil || problem != "" && (err == nil || !strings.Contains(err.Error(), problem)) {
			t.Errorf("error %v, want %q", err, problem)
		}
	}
	f(func(*Settings) {}, "")
	f(func(s *Settings) { s.Type = Off }, "set up output fake: output type 0")
	f(func(s *Settings) { s.Type = Skip }, "output type 2 needs a skip list: give --skipdomainsfile")
	f(func(s *Settings) { s.Type = Allow }, "output type 3 needs an allow list: give --allowdomainsfile")
	f(func(s *Settings) { s.Type = SkipAndAllow }, "output type 4 needs a skip list")
	f(func(s *Settings) { s.Type = 5 }, "output type 5: not one of 0 to 4")
	f(func(s *Settings) { s.Workers = 0 }, "0 workers")
	f(func(s *Settings) { s.BatchSize = -1 }, "batch size -1")
	f(func(s *Settings) { s.BatchDelay = -1 }, "batch delay")
	f(func(s *Settings) { s.Timeout = -1 }, "timeout")
	f(func(s *Settings) { s.QueueBytes = -1 }, "queue of -1 bytes")
	f(func(s *Settings) { s.QueueEvents = -1 }, "queue of -1 events")
	f(func(s *Settings) { s.Spool = SpoolSettings{Dir: "/nowhere", Bytes: 1000} }, "--spoolmb")
	f(func(s *Settings) { s.Spool = SpoolSettings{Dir: "/dev/null/x", Bytes: 8 << 20} }, "make spool")
}

// Delivered, refused by number, refused as a block, retried.
func TestOutcomes(t *testing.T) {
	busy := errors.New("busy")
	f := func(answers []error, refused int, want string) {
		t.Helper()
		attempt := 0
		r := testRunner(t, &fake{write: func(context.Context, *event.Block) (int, error) {
			attempt++
			if attempt > len(answers) {
				return refused, nil
			}
			return refused, answers[attempt-1]
		}}, quick(1, 10), false, nil)
		r.Start(context.Background())
		offer(r.Intake(), 10)
		r.Stop(context.Background())
		checkLedger(t, r, 10, want)
	}
	f(nil, 0, "delivered 10, blocks 1, retries 0")
	f(nil, 3, "delivered 7, refused 3, blocks 1")
	f(nil, 11, "delivered 0, refused 10")
	f(nil, -1, "delivered 10, refused 0")
	f([]error{busy, busy}, 0, "delivered 10, retries 2, blocks 1")
	f([]error{busy, busy}, 1, "delivered 7, refused 3, retries 2") // one more in each attempt
	f([]error{Permanent(busy)}, 0, "delivered 0, refused 10, blocks 0, retries 0")
	f([]error{busy, Permanent(busy)}, 2, "refused 10, retries 1")
	f([]error{ErrReaderGone}, 0, "abandoned 10, blocks 0")
}

// Each attempt has its own deadline: all of its time behind the end of the one
// before.
func TestTimeoutPerAttempt(t *testing.T) {
	attempts := 0
	ended := time.Now()
	set := quick(1, 10)
	set.Timeout = time.Minute
	r := testRunner(t, &fake{write: func(ctx context.Context, _ *event.Block) (int, error) {
		d, ok := ctx.Deadline()
		if !ok {
			t.Error("no deadline")
		}
		attempts++
		if own := d.Sub(ended); own < time.Minute {
			t.Errorf("attempt %d had %s of its minute", attempts, own)
		}
		if attempts < 3 {
			time.Sleep(5 * time.Millisecond)
			ended = time.Now()
			return 0, errors.New("busy")
		}
		return 0, nil
	}}, set, false, nil)
	r.Start(context.Background())
	offer(r.Intake(), 1)
	r.Stop(context.Background())
	if attempts != 3 {
		t.Errorf("%d attempts, want 3", attempts)
	}
}

// handed is what lanes have handed over and no joiner has seen: batches first.
func handedOver(q *queue) (blocks []*event.Block) {
	for q.count > 0 {
		blocks = append(blocks, q.pull().block)
	}
	for _, p := range q.unbatched.take() {
		blocks = append(blocks, p.block)
	}
	return blocks
}

// A lane's blocks end at the batch size, at the byte bound, shortly before the
// delay, and at Flush.
func TestBatches(t *testing.T) {
	now := time.Now()
	f := func(batch int, fill func(in *Intake), want ...int) {
		t.Helper()
		r := testRunner(t, &fake{}, quick(1, batch), true, nil)
		in := r.Intake()
		in.Tick(now)
		fill(in)
		var got []int
		for _, b := range handedOver(r.queue) {
			got = append(got, b.Len())
			if b.Size() > blockTarget && b.Len() > 1 {
				t.Errorf("a block of %d events has %d bytes, the bound is %d", b.Len(), b.Size(), blockTarget)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("blocks of %v events, want %v", got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("blocks of %v events, want %v", got, want)
			}
		}
	}
	f(3, func(in *Intake) { offer(in, 7) }, 3, 3, 1)
	f(3, func(in *Intake) { in.Flush() })
	f(3, func(in *Intake) {
		in.Offer(testEvent(1))
		in.Tick(now.Add(975*time.Millisecond - 1)) // the default delay is 1 s, of which the joiner gets 25 ms
		in.Offer(testEvent(2))
		in.Tick(now.Add(975 * time.Millisecond))
		in.r.queue.unbatched.take() // what is loose makes lanes hand over what they have
		in.Offer(testEvent(3))
		in.Tick(now.Add(1950*time.Millisecond - 1))
		in.Tick(now.Add(1950 * time.Millisecond))
		in.Tick(now.Add(9 * time.Second))
	}, 1)
	large := testEvent(1)
	large.Message = make([]byte, 65535)
	f(0, func(in *Intake) {
		for range 5 {
			in.Offer(large)
		}
		in.Flush()
	}, 3, 2)
	huge := testEvent(1)
	huge.Message = make([]byte, blockTarget)
	f(0, func(in *Intake) {
		in.Offer(testEvent(1))
		in.Offer(huge)
		in.Offer(testEvent(2))
		in.Flush()
	}, 1, 1, 1)
	f(0, func(in *Intake) { offer(in, 2522) }, 2520, 2) // (256 KiB - 48) / (92 + 12), whole events
}

// A live runner drops what does not fit and counts it, but for what its lanes have
// open at the end; one behind a file waits.
func TestFullQueue(t *testing.T) {
	set := quick(1, 10)
	set.QueueBytes = 1
	live := testRunner(t, &fake{}, set, true, nil)
	offer(live.Intake(), 35)
	live.Stop(shortGrace())
	checkLedger(t, live, 35, "queue_full 20, abandoned 15, delivered 0")

	release := make(chan struct{})
	file := testRunner(t, &fake{write: func(context.Context, *event.Block) (int, error) {
		<-release
		return 0, nil
	}}, set, false, nil)
	file.Start(context.Background())
	offered := make(chan struct{})
	go func() {
		defer close(offered)
		offer(file.Intake(), 2000)
	}()
	select {
	case <-offered:
		t.Error("2000 events passed a queue of one block while nothing was written")
	case <-time.After(30 * time.Millisecond):
	}
	close(release)
	<-offered
	file.Stop(context.Background())
	checkLedger(t, file, 2000, "delivered 2000")
}

// The end of Start's context frees lanes that wait.
func TestContextFreesLanes(t *testing.T) {
	set := quick(1, 10)
	set.QueueBytes = 1
	r := testRunner(t, &fake{write: func(ctx context.Context, _ *event.Block) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	}}, set, false, nil)
	ctx, cancel := context.WithCancel(context.Background())
	r.Start(ctx)
	time.AfterFunc(20*time.Millisecond, cancel)
	offer(r.Intake(), 100)
	r.Stop(context.Background())
	checkLedger(t, r, 100, "delivered 0, abandoned 100")
}

// A writer that does not heed its context delays the stop by a second, no more,
// and its late answer is not counted on top.
func TestStopWithStuckWriter(t *testing.T) {
	release, returned := make(chan struct{}), make(chan struct{})
	f := &fake{write: func(context.Context, *event.Block) (int, error) {
		<-release
		defer close(returned)
		return 0, nil
	}}
	r := testRunner(t, f, quick(1, 10), true, nil)
	r.Start(context.Background())
	offer(r.Intake(), 25)
	from := time.Now()
	r.Stop(shortGrace())
	if took := time.Since(from); took > time.Minute { // the writer is stuck for good: Stop did not wait for it
		t.Errorf("Stop took %s", took)
	}
	checkLedger(t, r, 25, "delivered 0, abandoned 25")
	close(release)
	<-returned
	r.running.Wait()
	checkLedger(t, r, 25, "delivered 0, abandoned 25")
	r.Stop(shortGrace())
	checkLedger(t, r, 25, "delivered 0, abandoned 25")
}

// Gone ends all workers, and lanes do not wait for it.
func TestGone(t *testing.T) {
	set := quick(3, 10)
	set.QueueBytes = 1
	f := &fake{write: func(context.Context, *event.Block) (int, error) { return 0, ErrReaderGone }}
	r := testRunner(t, f, set, false, nil)
	if r.Err() != nil {
		t.Error("Err before the end")
	}
	r.Start(context.Background())
	offer(r.Intake(), 500)
	<-r.Ended()
	r.Stop(context.Background())
	if !errors.Is(r.Err(), ErrReaderGone) {
		t.Errorf("Err = %v, want ErrReaderGone", r.Err())
	}
	checkLedger(t, r, 500, "abandoned 500, delivered 0")
	if f.closes == 0 || f.closes > 3 {
		t.Errorf("%d writers closed, want 1 to 3", f.closes)
	}
}

// A worker in a long pause between attempts does not hold up the end.
func TestGoneWakesWorkers(t *testing.T) {
	set := quick(2, 10)
	set.RetryFirst = time.Hour
	var mu sync.Mutex
	attempts := 0
	r := testRunner(t, &fake{write: func(context.Context, *event.Block) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		if attempts++; attempts == 1 {
			return 0, errors.New("busy")
		}
		return 0, ErrReaderGone
	}}, set, false, nil)
	r.Start(context.Background())
	offer(r.Intake(), 50)
	done := make(chan struct{})
	go func() {
		r.Stop(context.Background())
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("Stop waits for a worker that sleeps")
	}
	checkLedger(t, r, 50, "abandoned 50")
}

// Opening is tried again; an error for good ends the output.
func TestOpen(t *testing.T) {
	var mu sync.Mutex
	attempts := 0
	f := &fake{open: func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		if attempts++; attempts < 5 {
			return errors.New("refused")
		}
		return nil
	}}
	r := testRunner(t, f, quick(2, 10), false, nil)
	r.Start(context.Background())
	offer(r.Intake(), 100)
	r.Stop(context.Background())
	checkLedger(t, r, 100, "delivered 100, retries 4")
	if f.closes != 2 {
		t.Errorf("%d writers closed, want 2", f.closes)
	}

	bad := errors.New("no such table")
	r = testRunner(t, &fake{open: func(context.Context) error { return Permanent(bad) }}, quick(2, 10), false, nil)
	r.Start(context.Background())
	<-r.Ended()
	if !errors.Is(r.Err(), bad) {
		t.Errorf("Err = %v, want %v", r.Err(), bad)
	}
	offer(r.Intake(), 100)
	r.Stop(context.Background())
	checkLedger(t, r, 100, "abandoned 100")
}

// One line when it begins to fail and one when all is well, however many
// attempts and workers.
func TestHealthLines(t *testing.T) {
	var text bytes.Buffer
	var mu sync.Mutex
	attempts := 0
	r := testRunner(t, &fake{write: func(context.Context, *event.Block) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		if attempts++; attempts <= 20 {
			return 0, errors.New("connection refused")
		}
		return 0, nil
	}}, quick(4, 5), false, slog.New(slog.NewTextHandler(&text, nil)))
	r.Start(context.Background())
	offer(r.Intake(), 20)
	r.Stop(context.Background())
	checkLedger(t, r, 20, "delivered 20, retries 20")
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "connection refused") || !strings.Contains(lines[0], "output=fake") ||
		!strings.Contains(lines[1], "recovered") || !strings.Contains(lines[1], "failed_attempts=20") {
		t.Errorf("want a line with the error and one of recovery with 20 attempts, got\n%s", text.String())
	}
}

// Refusals get a line a minute, not one each.
func TestRefusalLines(t *testing.T) {
	var text bytes.Buffer
	r := testRunner(t, &fake{write: func(context.Context, *event.Block) (int, error) {
		return 0, Permanent(errors.New("bad column"))
	}}, quick(1, 5), false, slog.New(slog.NewTextHandler(&text, nil)))
	r.Start(context.Background())
	offer(r.Intake(), 100)
	r.Stop(context.Background())
	checkLedger(t, r, 100, "refused 100")
	if n := strings.Count(text.String(), "\n"); n != 1 || !strings.Contains(text.String(), "bad column") {
		t.Errorf("want one line that says bad column, got\n%s", text.String())
	}
}

// A further cause of an outage gets its line, once; numbers in an error make no
// new cause, and there is an end to the lines.
func TestHealthCauses(t *testing.T) {
	var text bytes.Buffer
	attempts := 0
	r := testRunner(t, &fake{write: func(context.Context, *event.Block) (int, error) {
		switch attempts++; {
		case attempts <= 10:
			return 0, fmt.Errorf("read 127.0.0.1:%d: connection reset", 40000+attempts)
		case attempts <= 20:
			return 0, fmt.Errorf("%s failed", []string{"login", "database"}[attempts%2])
		case attempts <= 60:
			return 0, errors.New("text that is never the same: " + strings.Repeat("x", attempts))
		}
		return 0, nil
	}}, quick(1, 5), false, slog.New(slog.NewTextHandler(&text, nil)))
	r.Start(context.Background())
	offer(r.Intake(), 5)
	r.Stop(context.Background())
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(lines) != maxCauses+1 {
		t.Fatalf("%d lines, want %d causes and one of recovery:\n%s", len(lines), maxCauses, text.String())
	}
	for i, want := range []string{"40001: connection reset", "with another error\" output=fake doing=write error=\"database failed", "login failed", "never the same"} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d lacks %q: %s", i, want, lines[i])
		}
	}
}

// Where blocks may grow, what comes while others wait goes out together, in its
// order; with nothing waiting each event goes at once.
func TestBlocksGrow(t *testing.T) {
	turn := make(chan struct{})
	var sizes []int
	var ids []byte
	f := &fake{write: func(_ context.Context, b *event.Block) (int, error) {
		sizes = append(sizes, b.Len())
		var e event.Event
		for r := b.Reader(); r.Next(&e); {
			ids = append(ids, e.Message[1])
		}
		<-turn
		return 0, nil
	}}
	set := quick(1, 2)
	set.Grow, set.BatchDelay = true, time.Hour
	r := testRunner(t, f, set, true, nil)
	r.Start(context.Background())
	in := r.Intake()
	next := 0
	give := func(n int) {
		for range n {
			in.Offer(testEvent(uint16(next)))
			next++
		}
	}
	idle := func() {
		for r.busy() {
			time.Sleep(time.Millisecond)
		}
	}
	give(2) // is with the writer
	idle()
	give(2) // waits
	if !r.busy() {
		t.Error("nothing waits")
	}
	give(50) // are in the open block
	in.Tick(time.Now())
	turn <- struct{}{}
	idle() // the second block is with the writer
	in.Tick(time.Now())
	turn <- struct{}{}
	turn <- struct{}{}
	give(1)
	in.Tick(time.Now())
	in.Flush()
	turn <- struct{}{}
	r.Stop(context.Background())
	if got := fmt.Sprint(sizes); got != "[2 2 50 1]" {
		t.Errorf("blocks of %s events, want [2 2 50 1]", got)
	}
	for i, id := range ids {
		if int(id) != i {
			t.Fatalf("event %d stands at %d", id, i)
		}
	}
}
