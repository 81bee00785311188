//go:build linux

package pipeline

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/test/capturetest"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/domains"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/mask"
	"dnsmonster-sensor/userspace/packet"
	"dnsmonster-sensor/userspace/stage"
	"dnsmonster-sensor/userspace/worker"
)

// teller is a source of messages without packets, in batches, on several lanes.
type teller struct {
	lanes []capture.Lane
	given atomic.Uint64
}

// tellerLane gives its messages, batch at a time.
type tellerLane struct {
	source   *teller
	messages []packet.Message
	packets  []packet.Packet // that come in the first batch, too
	batch    int
	spoil    func([]packet.Message) []packet.Message // nil: they come as they are
	shrunk   bool
}

func newTeller(lanes ...*tellerLane) *teller {
	s := &teller{}
	for _, l := range lanes {
		l.source = s
		s.lanes = append(s.lanes, l)
	}
	return s
}

func (s *teller) Lanes() []capture.Lane { return s.lanes }
func (s *teller) Live() bool            { return false }
func (s *teller) Given() uint64         { return s.given.Load() }
func (s *teller) Err() error            { return nil }

func (s *teller) Close() error {
	return nil // a file ends by itself
}

func (l *tellerLane) Shrunk() { l.shrunk = true }

func (l *tellerLane) Read(b *packet.Batch) error {
	b.Packets, b.Messages = b.Packets[:0], b.Messages[:0]
	if len(l.messages) == 0 || l.shrunk {
		return io.EOF
	}
	n := min(max(l.batch, 1), len(l.messages))
	take := l.messages[:n]
	l.messages = l.messages[n:]
	if l.packets != nil {
		b.Packets, l.packets = append(b.Packets, l.packets...), nil
	}
	l.source.given.Add(uint64(n + len(b.Packets)))
	if l.spoil != nil {
		take, l.spoil = l.spoil(take), nil
	}
	b.Messages = append(b.Messages, take...)
	return nil
}

// exampleMessages are n messages, of each carrier in turn, five a second.
func exampleMessages(n int) (list []packet.Message) {
	for i := range n {
		name := fmt.Sprintf("\x04m%03d\x07example\x03org\x00\x00\x01\x00\x01", i)
		list = append(list, packet.Message{
			Data: []byte("\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + name), QueryTime: 1700000000e9 + int64(i)*2e8,
			Src: netip.MustParseAddrPort("192.0.2.77:5353"), Proto: packet.Proto(1 + i%packet.Protos), Identity: []byte("ns1"),
		})
	}
	return list
}

// TestMessages: those of several lanes arrive, with packets among them, and the ledgers
// balance. Their source keeps what sources promise.
func TestMessages(t *testing.T) {
	open := func() capture.Source {
		return newTeller(&tellerLane{messages: exampleMessages(50), batch: 7}, &tellerLane{messages: exampleMessages(20), batch: 20}, &tellerLane{messages: exampleMessages(3), packets: frames(10)})
	}
	capturetest.Check(t, capturetest.Target{Open: open, Packets: 83})
	p, first, second := toTwo(t, open())
	ledgers := goes(t, p)
	if n := account.Unaccounted(ledgers); n != 0 || first.count() != 83 || second.count() != 83 || p.ledgers.packets.Sum(account.WholeMessage) != 73 {
		t.Errorf("%d unaccounted for, %d and %d events, %d whole messages", n, first.count(), second.count(), p.ledgers.packets.Sum(account.WholeMessage))
	}
	if named := slices.DeleteFunc(slices.Clone(first.seen), func(s string) bool { return !strings.HasPrefix(s, "ns1 ") }); len(named) != 73 {
		t.Errorf("%d events have the server's identity, want 73", len(named))
	}
	if l := ledgers[0]; l.Name != "packet" || l.In != 83 || l.Outcomes[account.WholeMessage].Name != "whole_message" {
		t.Errorf("ledger %+v", l)
	}
}

// TestLedgersShowErrorsWithMessages: one is lost or doubled between source and worker.
func TestLedgersShowErrorsWithMessages(t *testing.T) {
	f := func(what string, want int64, spoil func([]packet.Message) []packet.Message) {
		t.Helper()
		p, _, _ := toTwo(t, newTeller(&tellerLane{messages: exampleMessages(20), batch: 9, spoil: spoil}))
		for _, l := range goes(t, p) {
			off := int64(0)
			if l.Name == "packet" {
				off = want
			}
			if got := l.Unaccounted(); got != off {
				t.Errorf("%s: ledger %s has %d unaccounted, want %d", what, l.Name, got, off)
			}
		}
	}
	f("nothing", 0, nil)
	f("lost", 1, func(m []packet.Message) []packet.Message { return m[1:] })
	f("doubled", -1, func(m []packet.Message) []packet.Message { return append(m[:len(m):len(m)], m[0]) })
}

// TestMessagesAreFiltered by the lists, and masked.
func TestMessagesAreFiltered(t *testing.T) {
	source := newTeller(&tellerLane{messages: exampleMessages(30), batch: 4})
	p, first, second := toTwo(t, source)
	allow := &oneName{"m007.example.org."}
	if err := p.runners[0].SetFilter(outputs.Filter{Type: outputs.Allow, Allow: allow}); err != nil {
		t.Fatal(err)
	}
	p.masks.Store(&mask.Bits{V4: 24, V6: 64})
	if n := account.Unaccounted(goes(t, p)); n != 0 || first.count() != 1 || second.count() != 30 {
		t.Errorf("%d unaccounted for, %d and %d events, want 1 and 30", n, first.count(), second.count())
	}
}

// oneName is a list of one name.
type oneName struct{ name string }

func (l *oneName) Match(name []byte) bool { return string(domains.Lower(slices.Clone(name))) == l.name }

// TestMessagesAreSampled: exactly, over all lanes.
func TestMessagesAreSampled(t *testing.T) {
	var lanes []*tellerLane
	for range 3 {
		lanes = append(lanes, &tellerLane{messages: exampleMessages(333), batch: 10})
	}
	source := newTeller(lanes...)
	p, first, _ := toTwo(t, source)
	p.config.Sample = worker.NewSampler(packet.Ratio{Keep: 1, Of: 3}, false)
	if n := account.Unaccounted(goes(t, p)); n != 0 || first.count() != 333 || p.ledgers.packets.Sum(account.SampledOut) != 666 {
		t.Errorf("%d unaccounted for, %d events and %d left out, want 333 and 666", n, first.count(), p.ledgers.packets.Sum(account.SampledOut))
	}
}

// TestMessageTimeReachesStages: in a file of messages, time is that of the last message of
// a batch, even if it is skipped.
func TestMessageTimeReachesStages(t *testing.T) {
	f := func(sample *worker.Sampler, events int, fifths ...int64) {
		t.Helper()
		var times []int64
		source := newTeller(&tellerLane{messages: exampleMessages(10), batch: 5})
		p, first, _ := toTwo(t, source, stage.Kind{Name: "clock", New: func() stage.Stage { return &listens{times: &times} }})
		p.config.Sample = sample
		goes(t, p)
		for i := range times {
			times[i] -= 1700000000e9
			times[i] /= 2e8
		}
		if first.count() != events || !slices.Equal(times, fifths) {
			t.Errorf("%d events; times %d, want %d", first.count(), times, fifths)
		}
	}
	f(nil, 10, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	f(worker.NewSampler(packet.Ratio{Keep: 1, Of: 10}, false), 1, 0, 4, 9)
}

// listens is a stage that keeps the times of Expire.
type listens struct {
	labels
	times *[]int64
}

func (s *listens) Expire(now int64, _ func(*event.Event)) { *s.times = append(*s.times, now) }

// TestMessageFileShrinks: messages of a mapped file that becomes shorter while they are
// handled are counted as packets are.
func TestMessageFileShrinks(t *testing.T) {
	const pages = 8
	size := pages * os.Getpagesize()
	f, err := os.Create(filepath.Join(t.TempDir(), "messages"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(int64(size)); err != nil {
		t.Fatal(err)
	}
	data, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(data)
	messages := exampleMessages(pages)
	for i := range messages {
		at := i * os.Getpagesize()
		if _, err := f.WriteAt(messages[i].Data, int64(at)); err != nil {
			t.Fatal(err)
		}
		messages[i].Data = data[at:][:len(messages[i].Data)]
	}
	lane := &tellerLane{messages: messages, batch: pages}
	p, first, _ := toTwo(t, newTeller(lane), stage.Kind{Name: "cut", New: func() stage.Stage { return &shortens{t: t, file: f, keep: int64(2 * os.Getpagesize())} }})
	ledgers := goes(t, p)
	if n := account.Unaccounted(ledgers); n != 0 || first.count() != 2 || p.ledgers.packets.Sum(account.FileShrank) != pages-2 || !lane.shrunk {
		t.Errorf("%d unaccounted for, %d events, %d gone", n, first.count(), p.ledgers.packets.Sum(account.FileShrank))
	}
}

// shortens is a stage that shortens a file at the first event.
type shortens struct {
	labels
	t    *testing.T
	file *os.File
	keep int64
}

func (s *shortens) Event(e *event.Event, emit func(*event.Event)) {
	if err := s.file.Truncate(s.keep); err != nil {
		s.t.Error(err)
	}
	emit(e)
}

// TestNoAllocationPerMessage: from the lane to the outputs.
func TestNoAllocationPerMessage(t *testing.T) {
	messages := exampleMessages(100)
	source := newTeller(&tellerLane{})
	p := toNowhere(t, source)
	p.runners[0].Start(t.Context())
	l := p.newLane(source.lanes[0])
	round := func() {
		l.batch.Messages = messages
		l.messages()
		l.publish()
		for _, in := range l.intakes {
			in.Tick(time.Unix(0, 0))
		}
	}
	for range 200 {
		round()
	}
	// A block of 256 KiB holds more than fifteen rounds, and allocates the attempt's
	// timeout.
	if n := testing.AllocsPerRun(100, round); n > 1 {
		t.Errorf("100 messages allocate %v times", n)
	}
}
