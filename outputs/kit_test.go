package outputs

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// testEvent is an event with a DNS header of that id, without questions.
func testEvent(id uint16) *event.Event {
	e := &event.Event{
		Src: netip.MustParseAddrPort("192.0.2.1:5353"), Dst: netip.MustParseAddrPort("192.0.2.53:53"),
		Proto: event.UDP, Message: []byte{byte(id >> 8), byte(id), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	}
	dns.Read(e.Message, false, &e.DNS)
	return e
}

// fake is an output that opens and writes as a test says.
type fake struct {
	open  func(ctx context.Context) error
	write func(ctx context.Context, b *event.Block) (int, error)

	mu     sync.Mutex
	closes int
}

func (f *fake) Name() string { return "fake" }

func (f *fake) Flags() []cli.Flag { return nil }

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

// checkLedger compares the ledger at rest; want has "name value" for outcomes and meters.
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

// shortGrace is a grace time that ends soon.
func shortGrace() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	context.AfterFunc(ctx, cancel)
	return ctx
}

// parseCounts parses "delivered 7, refused 3".
func parseCounts(t *testing.T, text string) map[string]uint64 {
	t.Helper()
	m := make(map[string]uint64)
	for _, part := range strings.Split(text, ", ") {
		name, value, _ := strings.Cut(part, " ")
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		m[name] = n
	}
	return m
}

// dnsIDs lists the DNS ids of a block's events.
func dnsIDs(b *event.Block) (list []int) {
	var e event.Event
	for r := b.Reader(); r.Next(&e); {
		list = append(list, int(binary.BigEndian.Uint16(e.Message)))
	}
	return list
}

// sealedBlock is a sealed block of n events.
func sealedBlock(n int) *event.Block {
	b := event.NewBlock(smallBlock)
	for range n {
		b.Append(testEvent(1))
	}
	b.Seal(event.NewIDs().Next(), time.Now())
	return b
}

// destination is an output that can be down, and remembers what it received.
type destination struct {
	fake
	mu   sync.Mutex
	down bool
	got  []int
	ids  []event.ID
}

func newDestination(down bool) *destination {
	s := &destination{down: down}
	s.write = func(_ context.Context, b *event.Block) (int, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.down {
			return 0, errors.New("connection refused")
		}
		s.got, s.ids = append(s.got, dnsIDs(b)...), append(s.ids, b.ID())
		return 0, nil
	}
	return s
}

func (s *destination) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *destination) received() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

func waitUntil(t *testing.T, condition func() bool) {
	t.Helper()
	await.True(t, "the condition holds", condition)
}

func wantInOrder(t *testing.T, got []int, n int) {
	t.Helper()
	if len(got) != n {
		t.Fatalf("%d events arrived, want %d", len(got), n)
	}
	for i, id := range got {
		if id != i {
			t.Fatalf("event %d arrived at position %d", id, i)
		}
	}
}

func empty(q *queue) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count == 0 && q.unbatched.empty()
}
