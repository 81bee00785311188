package pipeline

import (
	"context"
	"io"
	"testing"
	"time"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/packet"
)

// busy is a live source of one lane whose packets never stop coming: first some that
// have to wait, then whole datagrams until done or the deadline.
type busy struct {
	first    []packet.Packet
	filler   []packet.Packet
	done     func() bool
	deadline time.Time
	given    uint64
	ended    bool // done was true before the deadline
}

func (s *busy) Lanes() []capture.Lane { return []capture.Lane{s} }
func (s *busy) Live() bool            { return true }
func (s *busy) Given() uint64         { return s.given }
func (s *busy) Err() error            { return nil }
func (s *busy) Close() error          { return nil }

func (s *busy) Read(b *packet.Batch) error {
	if s.ended = s.done(); s.ended || time.Now().After(s.deadline) {
		return io.EOF
	}
	b.Packets = append(append(b.Packets[:0], s.first...), s.filler...)
	s.given += uint64(len(b.Packets))
	s.first = nil
	return nil
}

// slow is a file or pipe of one lane whose packets are five seconds apart: first a
// fragment, then whole datagrams.
type slow struct {
	busy
	now int64
}

func (s *slow) Lanes() []capture.Lane { return []capture.Lane{s} }
func (s *slow) Live() bool            { return false }

func (s *slow) Read(b *packet.Batch) error {
	err := s.busy.Read(b)
	for i := range b.Packets {
		s.now += 5e9
		b.Packets[i].Time = s.now
	}
	return err
}

// TestSlowPipeExpires: the time of a few whole datagrams from a pipe is enough to expire
// what waits.
func TestSlowPipeExpires(t *testing.T) {
	frame := packets.AppendIPv4(nil, packets.Client, 1, 7, 0x2000|8, 17, make([]byte, 64))
	source := &slow{now: 1e18}
	source.first = []packet.Packet{{Data: frame, WireLen: uint32(len(frame)), Link: packet.LinkRaw}}
	source.filler, source.deadline = frames(1), time.Now().Add(10*time.Second)
	p := toNowhere(t, source)
	source.done = func() bool { return p.ledgers.packets.Sum(account.FragmentExpired) == 1 }
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	<-p.start(ctx)
	if !source.ended {
		t.Error("the fragment was not given up while packets came")
	}
	if passed := source.now - 1e18; passed > 100e9 {
		t.Errorf("given up after %d s, want at most 100", passed/1e9)
	}
	p.deliver(ctx)
}

// TestBusyLaneExpires: what waits on a live lane expires in time, even if packets never
// stop coming, and whatever their times are.
func TestBusyLaneExpires(t *testing.T) {
	part := func(frame []byte, at int64) packet.Packet {
		return packet.Packet{Data: frame, WireLen: uint32(len(frame)), Link: packet.LinkRaw, Time: at}
	}
	message := packets.AppendQuestion([]byte{0, 40}, 1, "stream", 40)
	source := &busy{filler: frames(10), deadline: time.Now().Add(10 * time.Second)}
	source.first = []packet.Packet{
		part(packets.AppendIPv4(nil, packets.Client, 1, 7, 0x2000|8, 17, make([]byte, 64)), 1e18),
		part(packets.AppendIPv4(nil, packets.Client, 1, 8, 0, 6, packets.AppendTCP(nil, 10000, 99, 2, nil)), 2e18),
		part(packets.AppendIPv4(nil, packets.Client, 1, 9, 0, 6, packets.AppendTCP(nil, 10000, 500, 0, message)), 1),
	}
	p := toNowhere(t, source)
	p.config.Defrag.Timeout, p.config.TCP.GapTimeout = 50e6, 50e6
	source.done = func() bool {
		return p.ledgers.packets.Sum(account.FragmentExpired) == 1 && p.ledgers.packets.Sum(account.StreamGaps) == 1
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	<-p.start(ctx)
	if !source.ended {
		t.Error("what waits was not given up while packets came")
	}
	p.deliver(ctx)
}
