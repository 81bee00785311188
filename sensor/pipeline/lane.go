package pipeline

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
	"dnsmonster-sensor/userspace/stage"
	"dnsmonster-sensor/userspace/worker"
)

// lane is one worker's loop and what it owns.
type lane struct {
	pipeline *pipeline
	source   capture.Lane
	worker   *worker.Worker
	chain    *stage.Chain // nil: no stages
	intakes  []*outputs.Intake
	limited  *limitedLane // nil: no limit to the number of records
	emit     func(*event.Event)
	batch    packet.Batch
	given    int // packets and messages of the batch that the source has given
	done     int // those of them that have an outcome
	began    time.Time
	ticked   time.Time
}

// tickEvery is how often a lane checks the timeouts of its open blocks and of its
// reassembly.
const tickEvery = 10 * time.Millisecond

func (p *pipeline) newLane(source capture.Lane) *lane {
	l := &lane{pipeline: p, source: source, began: p.ledgers.begun}
	l.worker = worker.New(p.config, p.ledgers.packets.Shard(), p.ledgers.messages.Shard())
	for _, r := range p.runners {
		l.intakes = append(l.intakes, r.Intake())
	}
	l.emit = func(e *event.Event) {
		for _, in := range l.intakes {
			in.Offer(e)
		}
	}
	if p.limit != nil {
		l.limited = &limitedLane{p.limit, p.limit.counters.Shard(), l.intakes}
		l.emit = l.limited.offer
	}
	if len(p.stages) > 0 {
		l.chain = stage.NewChain(p.stages, p.ledgers.stages, l.emit)
		l.emit = l.chain.Event
	}
	l.tick(time.Now())
	return l
}

// run takes packets until the source ends.
func (l *lane) run() {
	// A mapped file that becomes shorter makes reading it fault; step turns
	// that into an error.
	debug.SetPanicOnFault(true)
	for l.step() {
	}
	l.worker.Flush(l.emit)
	if l.chain != nil {
		l.chain.Flush()
	}
	for _, in := range l.intakes {
		in.Flush()
	}
	l.publish()
}

// step takes one batch. It returns false at the end.
func (l *lane) step() (more bool) {
	defer func() {
		if fault := recover(); fault != nil {
			l.shrank(fault)
			more = true
		}
	}()
	l.given, l.done = 0, 0
	err := l.source.Read(&l.batch)
	l.worker.SetMask(l.pipeline.masks.Load())
	switch {
	case err == nil:
		l.given = l.batch.Len()
		for i := range l.batch.Packets {
			l.worker.Packet(&l.batch.Packets[i], l.emit)
			l.done++
		}
		if n := len(l.batch.Packets); n > 0 {
			l.packetTime(l.batch.Packets[n-1].Interface, l.batch.Packets[n-1].Time)
		}
		l.messages()
	case errors.Is(err, os.ErrDeadlineExceeded):
	case errors.Is(err, io.EOF):
		l.pipeline.laneEnded()
		return false
	default:
		l.pipeline.fail("lane", err)
		l.pipeline.laneEnded()
		l.discard()
		return false
	}
	if now := time.Now(); now.Sub(l.ticked) >= tickEvery {
		l.tick(now)
	}
	l.publish()
	return true
}

// messages takes the messages of the batch, which came without packets.
func (l *lane) messages() {
	for i := range l.batch.Messages {
		l.worker.Message(&l.batch.Messages[i], l.emit)
		l.done++
	}
	if n := len(l.batch.Messages); n > 0 {
		l.packetTime(l.batch.Messages[n-1].Interface, l.batch.Messages[n-1].When())
	}
}

// packetTime tells worker and stages the time that the packets of an interface have
// reached.
func (l *lane) packetTime(number uint32, time int64) {
	l.worker.PacketTime(number, time, l.emit)
	if l.chain != nil {
		l.chain.PacketTime(number, time)
	}
}

// publish makes the lane's counts visible to the ledgers.
func (l *lane) publish() {
	l.worker.Publish()
	if l.chain != nil {
		l.chain.Publish()
	}
	if l.limited != nil {
		l.limited.shard.Publish()
	}
}

// tick checks timeouts, even if packets never stop coming. The time for reassembly and
// stages comes from the packets of a file, and from the monotonic clock in a live
// capture: that does not jump when the time of day is set.
func (l *lane) tick(now time.Time) {
	l.ticked = now
	if l.pipeline.source.Live() {
		passed := int64(now.Sub(l.began))
		l.worker.Tick(passed, l.emit)
		if l.chain != nil {
			l.chain.Tick(passed)
		}
	}
	for _, in := range l.intakes {
		in.Tick(now)
	}
}

// shrank accounts for the rest of a batch whose file became shorter while it was read.
// It raises any other panic again, with the name of the stage if one caused it: a stage
// does not read the file.
func (l *lane) shrank(fault any) {
	if l.chain != nil && l.chain.Running() != "" {
		panic(fmt.Sprintf("stage %s: %v", l.chain.Running(), fault))
	}
	file, ok := l.source.(capture.Shrinker)
	if !ok || !capture.IsFault(fault) {
		panic(fault)
	}
	l.worker.Abandon(account.FileShrank, l.given-l.done)
	l.publish()
	file.Shrunk()
}

// discard counts and discards what a failed lane is still given, until the source
// ends. What the lane read before is delivered meanwhile.
func (l *lane) discard() {
	source, ok := l.source.(capture.Discarder)
	for err := error(nil); ok && (err == nil || errors.Is(err, os.ErrDeadlineExceeded)); {
		var n int
		n, err = source.Discard()
		l.worker.Abandon(account.LaneFailed, n)
		if now := time.Now(); now.Sub(l.ticked) >= tickEvery {
			l.tick(now)
		}
		l.publish()
	}
}
