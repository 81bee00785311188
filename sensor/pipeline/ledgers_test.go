package pipeline

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/format"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/capture/file"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/dedup"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/mask"
	"dnsmonster-sensor/userspace/packet"
	"dnsmonster-sensor/userspace/stage"
	"dnsmonster-sensor/userspace/worker"
)

// nowhere is an output that acknowledges everything.
type nowhere struct{}

func (nowhere) Name() string      { return "nowhere" }
func (nowhere) Flags() []cli.Flag { return nil }
func (nowhere) Settings() (outputs.Settings, error) {
	return outputs.Settings{Type: outputs.All, Workers: 1}, nil
}
func (nowhere) Open(context.Context) (outputs.Writer, error)     { return nowhere{}, nil }
func (nowhere) Write(context.Context, *event.Block) (int, error) { return 0, nil }
func (nowhere) Close() error                                     { return nil }

// rigged is a source of one lane whose hand-over a test can falsify.
type rigged struct {
	packets []packet.Packet
	given   uint64
	spoil   func([]packet.Packet) []packet.Packet // what the lane's reader gets instead
}

func (s *rigged) Lanes() []capture.Lane { return []capture.Lane{s} }
func (s *rigged) Live() bool            { return false }
func (s *rigged) Given() uint64         { return s.given }
func (s *rigged) Err() error            { return nil }
func (s *rigged) Close() error          { return nil }

func (s *rigged) Read(b *packet.Batch) error {
	if s.packets == nil {
		return io.EOF
	}
	s.given = uint64(len(s.packets))
	b.Packets = append(b.Packets[:0], s.spoil(s.packets)...)
	s.packets = nil
	return nil
}

// frames are n queries as packets.
func frames(n int) (list []packet.Packet) {
	file, err := packets.Read(packets.Queries(n))
	if err != nil {
		panic(err)
	}
	for _, f := range file {
		list = append(list, packet.Packet{Data: f.Data, WireLen: f.WireLen, Link: packet.LinkRaw, Time: 1})
	}
	return list
}

// join makes a pipeline for port 53.
func join(t *testing.T, source capture.Source, config worker.Config, stages []stage.Kind, list []Output, log *slog.Logger) *pipeline {
	t.Helper()
	config.Ports = &worker.Ports{}
	config.Ports.Add(53)
	runners, err := newRunners(list, source.Live(), log)
	if err != nil {
		t.Fatal(err)
	}
	return newPipeline(source, config, stages, runners, log)
}

// oneWriter are settings of an output that gets all events.
var oneWriter = outputs.Settings{Type: outputs.All, Workers: 1}

// toNowhere joins a source to an output that takes everything.
func toNowhere(t *testing.T, source capture.Source, stages ...stage.Kind) *pipeline {
	t.Helper()
	return join(t, source, worker.Config{}, stages, []Output{{nowhere{}, oneWriter}}, slog.New(slog.DiscardHandler))
}

// run takes packets all the way to an output that accepts them.
func run(t *testing.T, spoil func([]packet.Packet) []packet.Packet, emit func(next func(*event.Event)) func(*event.Event)) []account.Ledger {
	t.Helper()
	source := &rigged{packets: frames(100), spoil: spoil}
	p := toNowhere(t, source)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, r := range p.runners {
		r.Start(ctx)
	}
	l := p.newLane(source)
	l.emit = emit(l.emit)
	l.run()
	p.deliver(ctx)
	ledgers, err := p.ledgers.read()
	if err != nil {
		t.Fatal(err)
	}
	return ledgers
}

// TestLedgersShowErrors drops, doubles and miscounts one item at each hand-over of the
// lane. The tests of outputs do the same with the hand-overs behind it.
func TestLedgersShowErrors(t *testing.T) {
	whole := func(p []packet.Packet) []packet.Packet { return p }
	straight := func(next func(*event.Event)) func(*event.Event) { return next }
	f := func(name string, spoilt string, off int64, spoil func([]packet.Packet) []packet.Packet, emit func(func(*event.Event)) func(*event.Event)) {
		t.Helper()
		for _, l := range run(t, spoil, emit) {
			want := int64(0)
			if l.Name == spoilt {
				want = off
			}
			if got := l.Unaccounted(); got != want {
				t.Errorf("%s: ledger %s has %d unaccounted, want %d", name, l.Name, got, want)
			}
		}
	}
	// nth calls do in place of the tenth event's hand-over.
	nth := func(do func(next func(*event.Event), e *event.Event)) func(func(*event.Event)) func(*event.Event) {
		return func(next func(*event.Event)) func(*event.Event) {
			n := 0
			return func(e *event.Event) {
				if n++; n == 10 {
					do(next, e)
					return
				}
				next(e)
			}
		}
	}
	f("nothing spoilt", "", 0, whole, straight)
	f("packet dropped", "packet", 1, func(p []packet.Packet) []packet.Packet { return p[1:] }, straight)
	f("packet doubled", "packet", -1, func(p []packet.Packet) []packet.Packet { return append(p[:len(p):len(p)], p[0]) }, straight)
	f("event dropped", "delivery", 1, whole, nth(func(func(*event.Event), *event.Event) {}))
	f("event doubled", "delivery", -1, whole, nth(func(next func(*event.Event), e *event.Event) { next(e); next(e) }))
}

// TestNoAllocationPerPacket takes packets from the worker to the queues: queries, and
// captures of real servers over each carrier. Once tables, blocks and buffers have
// grown to their size, no packet, stream, datagram or tunnel allocates. Only a block of
// 256 KiB on its way to a writer does: for the attempt's timeout.
func TestNoAllocationPerPacket(t *testing.T) {
	allocatesNothing(t, "queries", frames(100))
	allocatesNothing(t, "queries through stages", frames(100), stage.Kind{Name: "label", New: newLabel}, stage.Kind{Name: "thin", New: newThin})
	files, _ := filepath.Glob("../../userspace/worker/testdata/*.pcap")
	if len(files) == 0 {
		t.Fatal("no captures")
	}
	for _, path := range files {
		s, err := file.Open(file.Options{Paths: []string{path}, Lanes: 1})
		if err != nil {
			t.Fatal(err)
		}
		var packets []packet.Packet
		var b packet.Batch
		for s.Lanes()[0].Read(&b) == nil {
			packets = append(packets, b.Packets...) // of a mapped file: they stay valid
		}
		allocatesNothing(t, filepath.Base(path), packets)
	}
}

func allocatesNothing(t *testing.T, name string, packets []packet.Packet, stages ...stage.Kind) {
	t.Helper()
	const rounds, perBlock = 100, 8
	source := &rigged{}
	settings := oneWriter
	settings.QueueBytes = 1 << 20 // a small queue is soon full: until then it takes new blocks
	config := worker.Config{Dedup: &dedup.Config{}, Mask: &mask.Bits{V4: 24, V6: 64}, MaskECS: true}
	p := join(t, source, config, stages, []Output{{nowhere{}, settings}}, slog.New(slog.DiscardHandler))
	p.runners[0].Start(t.Context())
	l := p.newLane(source)
	events, stored := 0, 0
	emit := func(e *event.Event) {
		events++
		stored += e.StoredSize()
		l.emit(e)
	}
	batch := func() {
		for i := range packets {
			packets[i].Time += 100e9 // another connection, no duplicate
			l.worker.Packet(&packets[i], emit)
		}
		l.publish()
	}
	for range 2 * rounds {
		batch()
	}
	events, stored = 0, 0
	n := testing.AllocsPerRun(rounds, batch)
	blocks := float64(stored) / (rounds + 1) / (256 << 10)
	if n > perBlock*blocks {
		t.Errorf("%s: %d packets allocate %v times, and fill %.2f blocks", name, len(packets), n, blocks)
	}
	if events < rounds {
		t.Errorf("%s: %d events: the test shows nothing", name, events)
	}
}

// TestNoAllocationPerRecord takes packets through worker and block to records, in each
// format except the one that decodes messages.
func TestNoAllocationPerRecord(t *testing.T) {
	packets := frames(100)
	ports := &worker.Ports{}
	ports.Add(53)
	for _, name := range format.Names() {
		if name == "gotemplate" {
			continue
		}
		f, err := format.New(name, format.Options{Server: "s1"})
		if err != nil {
			t.Fatal(err)
		}
		enc, block, text := f.NewEncoder(), event.NewBlock(1<<10), []byte(nil)
		w := worker.New(worker.Config{Ports: ports}, account.NewPacketCounters().Shard(), account.NewMessageCounters().Shard())
		var e event.Event
		emit := func(e *event.Event) { block.Append(e) }
		batch := func() {
			block.Reset()
			for i := range packets {
				w.Packet(&packets[i], emit)
			}
			w.Publish()
			block.Seal(event.ID{}, time.Unix(0, 0))
			text = text[:0]
			for r := block.Reader(); r.Next(&e); {
				text = enc.Append(text, &e)
			}
		}
		batch() // buffers grow to their size
		if n := testing.AllocsPerRun(100, batch); n != 0 || len(text) == 0 {
			t.Errorf("%s: %d packets allocate %v times, want 0; %d bytes of records", name, len(packets), n, len(text))
		}
	}
}

// TestOverlongIsALoss: bytes that no kernel record could hold are lost, unlike those
// that the user has asked to cut.
func TestOverlongIsALoss(t *testing.T) {
	f := func(want string, wantTotal uint64, counters ...capture.Counter) {
		t.Helper()
		l := kernelLedger(capture.HookStats{Hook: "xdp", Counters: counters})
		if text, total := account.Losses([]account.Ledger{l}); text != want || total != wantTotal {
			t.Errorf("losses %q, %d in all, want %q, %d", text, total, want, wantTotal)
		}
	}
	n := func(name string, kind capture.CounterKind, value uint64) capture.Counter {
		return capture.Counter{Name: name, Kind: kind, Value: value, Known: true}
	}
	f("", 0, n("seen", capture.CountsIn, 2), n("delivered", capture.CountsDelivered, 2), n("cut", capture.CountsMeter, 2))
	f("1 ring_full (kernel, xdp), the ends of 2 frames that no record holds: overlong (kernel, xdp)", 3,
		n("seen", capture.CountsIn, 3), n("delivered", capture.CountsDelivered, 2), n("ring_full", capture.CountsLost, 1), n("overlong", capture.CountsIncomplete, 2))
}
