package outputtest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/userspace/event"
)

// destination is a server in memory.
type destination struct {
	mu       sync.Mutex
	records  []string
	failures int
	refuse   string
	hang     chan struct{} // closed while it answers
	one      string        // the record that fails, times more times
	times    int
	busy     int // attempts that are answered with RetryAfter
	wait     time.Duration
}

// take is the server's side of one attempt.
func (d *destination) take(ctx context.Context, records []string) (refused int, err error) {
	d.mu.Lock()
	hang := d.hang
	d.mu.Unlock()
	select {
	case <-hang:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failures > 0 {
		d.failures--
		return 0, errors.New("busy")
	}
	if d.busy > 0 {
		d.busy--
		return 0, &outputs.RetryAfter{Wait: d.wait, Err: errors.New("busy")}
	}
	var failed []int
	for i, r := range records {
		switch {
		case r == d.one && d.times > 0:
			d.times--
			failed = append(failed, i)
		case r == d.refuse:
			refused++
		default:
			d.records = append(d.records, r)
		}
	}
	if failed != nil {
		return refused, &outputs.Partial{Failed: failed, Err: errors.New("one is locked")}
	}
	return refused, nil
}

func (d *destination) received() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.records)
}

// writeFunc is a writer's Write, right or wrong.
type writeFunc func(ctx context.Context, d *destination, records []string) (int, error)

func right(ctx context.Context, d *destination, records []string) (int, error) {
	return d.take(ctx, records)
}

type memory struct {
	d       *destination
	write   writeFunc
	openCtx bool               // the writer keeps Open's context
	change  func(*event.Event) // what the writer does to events
	once    bool               // the writer fails at a second Close
	rows    bool               // the writer says which row failed, and not which event
}

func (m *memory) Name() string                        { return "memory" }
func (m *memory) Flags() []cli.Flag                   { return nil }
func (m *memory) Settings() (outputs.Settings, error) { return outputs.Settings{}, nil }
func (m *memory) Open(ctx context.Context) (outputs.Writer, error) {
	return &memoryWriter{m: m, ctx: ctx}, nil
}

type memoryWriter struct {
	m      *memory
	ctx    context.Context
	closed bool
}

func (w *memoryWriter) Write(ctx context.Context, b *event.Block) (int, error) {
	if w.m.openCtx {
		ctx = w.ctx
	}
	var records []string
	var first []int // row of each event
	var e event.Event
	n := 0
	for r := b.Reader(); r.Next(&e); n += int(e.DNS.QDCount) {
		if w.m.change != nil {
			w.m.change(&e)
		}
		records, first = append(records, want(&e)), append(first, n)
	}
	refused, err := w.m.write(ctx, w.m.d, records)
	var p *outputs.Partial
	if w.m.rows && errors.As(err, &p) {
		for i, at := range p.Failed {
			p.Failed[i] = first[at]
		}
	}
	return refused, err
}

func (w *memoryWriter) Close() error {
	if w.m.once && w.closed {
		return errors.New("closed already")
	}
	w.closed = true
	return nil
}

// want returns everything that is in an event.
func want(e *event.Event) string {
	c := *e
	if len(c.Identity) == 0 { // a block does not tell empty from absent
		c.Identity = nil
	}
	if len(c.Version) == 0 {
		c.Version = nil
	}
	return fmt.Sprintf("%d %d %+v", c.Src.Port(), c.Dst.Port(), c) // an AddrPort without an address shows no port
}

func newTarget(m memory) *Target {
	d := &destination{hang: make(chan struct{})}
	close(d.hang)
	m.d = d
	return &Target{
		Output:   &m,
		Want:     func(e *event.Event) []string { return []string{want(e)} },
		Received: d.received,
		Fail: func(n int) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.failures = n
		},
		Hang: func() (release func()) {
			d.mu.Lock()
			defer d.mu.Unlock()
			hang := make(chan struct{})
			d.hang = hang
			return sync.OnceFunc(func() { close(hang) })
		},
		Refuse:  func(want string) { d.refuse = want },
		FailOne: func(want string, n int) { d.one, d.times = want, n },
		Busy: func(n int, wait time.Duration) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.busy, d.wait = n, wait
		},
	}
}

func TestRightWriter(t *testing.T) {
	Run(t, func(T) *Target { return newTarget(memory{write: right}) })
}

// recorder is a T that keeps the errors.
type recorder struct {
	mu      sync.Mutex
	errors  []string
	cleanup []func()
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanup = append(r.cleanup, f) }
func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}
func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// failed runs one case, and reports whether the case found something.
func failed(c Case, target *Target) bool {
	var r recorder
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Run(&r, target)
	}()
	<-done
	for _, f := range r.cleanup {
		f()
	}
	return len(r.errors) > 0
}

// TestWrongWriters: for each fault the case that is meant for it fails.
func TestWrongWriters(t *testing.T) {
	f := func(what, caseName string, m memory) {
		t.Helper()
		if m.write == nil {
			m.write = right
		}
		i := slices.IndexFunc(Cases(), func(c Case) bool { return c.Name == caseName })
		if i < 0 {
			t.Fatalf("no case %q", caseName)
		}
		t.Run(what+", "+caseName, func(t *testing.T) {
			t.Parallel()
			target := newTarget(m)
			target.limit = 3 * time.Second // these do not end by themselves
			if !failed(Cases()[i], target) {
				t.Errorf("the case %q does not notice a writer that %s", caseName, what)
			}
		})
	}
	losingWriters(f)
	unpunctualWriters(f)
	spoilingWriters(f)
	impreciseWriters(f)
}

// addFault adds a fault, and the case that must notice it.
type addFault func(what, caseName string, m memory)

// losingWriters lose, repeat or mix up events.
func losingWriters(f addFault) {
	loses := func(ctx context.Context, d *destination, records []string) (int, error) {
		return d.take(ctx, records[:len(records)-1])
	}
	f("loses an event", "acknowledged", memory{write: loses})
	f("loses an event", "exactly once", memory{write: loses})
	f("loses an event", "many workers", memory{write: loses})

	doubles := func(ctx context.Context, d *destination, records []string) (int, error) {
		return d.take(ctx, append(records, records[0]))
	}
	f("doubles an event", "acknowledged", memory{write: doubles})
	f("doubles an event", "exactly once", memory{write: doubles})

	shared := new(string) // a buffer that all workers use
	f("mixes what workers send", "many workers", memory{write: func(ctx context.Context, d *destination, records []string) (int, error) {
		d.mu.Lock()
		*shared = records[0]
		d.mu.Unlock()
		runtime.Gosched()
		time.Sleep(time.Millisecond)
		d.mu.Lock()
		records[0] = *shared // by now another worker's
		d.mu.Unlock()
		return d.take(ctx, records)
	}})
}

// unpunctualWriters acknowledge too early, ignore contexts, or report wrong errors.
func unpunctualWriters(f addFault) {
	f("acknowledges early", "acknowledged", memory{write: func(_ context.Context, d *destination, records []string) (int, error) {
		time.AfterFunc(time.Minute, func() { d.take(context.Background(), records) })
		return 0, nil
	}})

	f("ignores its context", "write ends with its context", memory{write: func(_ context.Context, d *destination, records []string) (int, error) {
		return d.take(context.Background(), records)
	}})

	hides := func(ctx context.Context, d *destination, records []string) (int, error) {
		n, _ := d.take(ctx, records)
		return n, nil
	}
	f("hides errors", "retries", memory{write: hides})
	f("hides errors", "same block again", memory{write: hides})
	f("hides errors", "fresh timeout", memory{write: hides})

	f("calls a transient error permanent", "retries", memory{write: func(ctx context.Context, d *destination, records []string) (int, error) {
		n, err := d.take(ctx, records)
		if err != nil {
			err = outputs.Permanent(err)
		}
		return n, err
	}})

	f("sends what was taken again", "same block again", memory{write: func(ctx context.Context, d *destination, records []string) (int, error) {
		if _, err := d.take(ctx, records); err != nil {
			d.take(ctx, records[:1])
			return 0, err
		}
		return 0, nil
	}})

	f("keeps the context of Open", "open's context", memory{openCtx: true})
	f("keeps the context of Open", "fresh timeout", memory{openCtx: true})

	f("does not count what is refused", "refused", memory{write: func(ctx context.Context, d *destination, records []string) (int, error) {
		_, err := d.take(ctx, records)
		return 0, err
	}})
	f("refuses the block for one event", "refused", memory{write: func(ctx context.Context, d *destination, records []string) (int, error) {
		if slices.Contains(records, d.refuse) {
			return 0, outputs.Permanent(errors.New("bad batch"))
		}
		return d.take(ctx, records)
	}})
}

// spoilingWriters change events.
func spoilingWriters(f addFault) {
	spoil := func(what string, change func(*event.Event)) {
		f(what, "all shapes of events", memory{change: change})
	}
	spoil("takes a missing address for ::", func(e *event.Event) {
		if !e.Src.Addr().IsValid() {
			e.Src = netip.AddrPortFrom(netip.IPv6Unspecified(), e.Src.Port())
		}
	})
	spoil("loses the port of an absent address", func(e *event.Event) {
		if !e.Dst.Addr().IsValid() {
			e.Dst = netip.AddrPort{}
		}
	})
	spoil("knows two transports", func(e *event.Event) { e.Proto = min(e.Proto, event.TCP) })
	spoil("shows questions that the filter has not taken", func(e *event.Event) { e.Selected = nil })
	spoil("loses identities", func(e *event.Event) { e.Identity = nil })
	spoil("loses fields that it does not know", func(e *event.Event) { e.Fields = nil })
	spoil("loses times", func(e *event.Event) { e.ResponseTime = 0 })
	spoil("cuts long messages", func(e *event.Event) { e.Message = e.Message[:min(len(e.Message), 65534)] })
	spoil("does not say what the capture cut", func(e *event.Event) { e.CaptureCut = 0 })
}

// impreciseWriters answer wrongly for single events, or when to retry.
func impreciseWriters(f addFault) {
	whole := func(ctx context.Context, d *destination, records []string) (int, error) { // knows nothing of single events
		n, err := d.take(ctx, records)
		if p := (*outputs.Partial)(nil); errors.As(err, &p) {
			err = p.Err
		}
		return n, err
	}
	f("does not say which event failed", "one fails", memory{write: whole})
	f("does not say which event failed", "one later", memory{write: whole})
	f("takes a failed event for delivered", "one later", memory{write: func(ctx context.Context, d *destination, records []string) (int, error) {
		n, err := d.take(ctx, records)
		if p := (*outputs.Partial)(nil); errors.As(err, &p) {
			return n, nil
		}
		return n, err
	}})
	f("names another event", "one fails", memory{write: func(ctx context.Context, d *destination, records []string) (int, error) {
		n, err := d.take(ctx, records)
		if p := (*outputs.Partial)(nil); errors.As(err, &p) {
			p.Failed[0]++
		}
		return n, err
	}})
	f("numbers rows and not events", "one fails", memory{write: right, rows: true})
	f("numbers only what was not refused", "one later", memory{write: func(ctx context.Context, d *destination, records []string) (int, error) {
		n, err := d.take(ctx, records)
		if p := (*outputs.Partial)(nil); errors.As(err, &p) && len(p.Failed) > 0 {
			if at := slices.Index(records, d.refuse); at >= 0 && at < p.Failed[0] {
				p.Failed[0]--
			}
		}
		return n, err
	}})
	f("counts what is refused at each attempt", "refused", memory{write: func(ctx context.Context, d *destination, records []string) (int, error) {
		n, err := d.take(ctx, records)
		if err != nil && slices.Contains(records, d.refuse) {
			n = 1
		}
		return n, err
	}})
	f("waits itself", "does not wait itself", memory{write: func(ctx context.Context, d *destination, records []string) (int, error) {
		n, err := d.take(ctx, records)
		if r := (*outputs.RetryAfter)(nil); errors.As(err, &r) {
			<-ctx.Done()
		}
		return n, err
	}})
	f("does not hand on when to come back", "retry after", memory{write: func(ctx context.Context, d *destination, records []string) (int, error) {
		n, err := d.take(ctx, records)
		if r := (*outputs.RetryAfter)(nil); errors.As(err, &r) {
			err = r.Err
		}
		return n, err
	}})

	f("fails at a second Close", "close twice", memory{once: true})
}
