package outputs

import (
	"context"
	"testing"
	"time"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// handOvers moves ten events through every hand-over step by step, so that a test can spoil
// each of them. offer, put, pop and record say how often the step is done; 1 is right.
type handOvers struct {
	offer, put, pop, record  int             // offer: of the fifth event; the others: of its block
	loseJoined, doubleJoined bool            // the joiner forgets the block, or takes it twice
	result                   func(r *result) // changes deliver's result
	count                    func(p *account.Shard)
}

func (p handOvers) unaccounted(t *testing.T) int64 {
	t.Helper()
	r := testRunner(t, &fake{}, quick(1, 0), true, nil)
	w := r.workers[0]
	w.writer = &fake{}
	in := r.Intake()
	const n = 10
	for i := range n {
		times := 1
		if i == 4 {
			times = p.offer
		}
		for range times {
			in.Offer(testEvent(uint16(i)))
		}
	}
	in.Tick(in.now)
	if held := r.Ledger(func() uint64 { return n }); p.offer == 1 && held.Unaccounted() != 0 {
		t.Errorf("while a block is open: %d unaccounted", held.Unaccounted())
	}
	p.queue(r, in)
	p.join(r)
	for range p.pop - 1 { // popped and forgotten
		popBlock(r.queue)
	}
	r.queue.close()
	for {
		b, ok := popBlock(r.queue)
		if !ok {
			break
		}
		d := w.hold(item{block: b})
		w.deliver(context.Background(), d)
		if p.result != nil {
			p.result(&d.result)
		}
		for range p.record {
			w.record(d)
		}
	}
	if p.count != nil {
		p.count(w.shard)
	}
	w.publish()
	l := r.Ledger(func() uint64 { return n })
	return l.Unaccounted()
}

// queue hands the open block over, or puts it as often as p.put says.
func (p handOvers) queue(r *Runner, in *Intake) {
	if p.put == 1 {
		in.Flush()
		return
	}
	for range p.put {
		r.put(laneBlock{block: copyBlock(in.open), since: in.now}, &in.generation)
	}
	in.open = event.NewBlock(smallBlock)
	in.setHeld(0)
}

func copyBlock(b *event.Block) *event.Block {
	same, p := event.NewBlock(smallBlock), b.Part()
	same.Join(&p, b.Len(), b.Size())
	return same
}

// join does what a round of the joiner does.
func (p handOvers) join(r *Runner) {
	j := r.join
	blocks, _ := r.queue.takeUnbatched()
	switch {
	case p.loseJoined:
		blocks = blocks[1:]
	case p.doubleJoined:
		blocks = append(blocks, laneBlock{block: copyBlock(blocks[0].block)})
	}
	j.addAll(blocks)
	j.flush()
	j.setHeld(0)
	r.queue.setJoinerHeld(nil, time.Time{})
}

// Each loss, duplicate or miscount at a hand-over shows in the ledger.
func TestLedgerShowsMutations(t *testing.T) {
	if n := (handOvers{offer: 1, put: 1, pop: 1, record: 1}).unaccounted(t); n != 0 {
		t.Fatalf("nothing spoiled: %d unaccounted, want 0", n)
	}
	f := func(what string, p handOvers, want int64) {
		t.Helper()
		if n := p.unaccounted(t); n != want {
			t.Errorf("%s: %d unaccounted, want %d", what, n, want)
		}
	}
	f("an event is not offered", handOvers{offer: 0, put: 1, pop: 1, record: 1}, 1)
	f("an event is offered twice", handOvers{offer: 2, put: 1, pop: 1, record: 1}, -1)
	f("a block is not queued", handOvers{offer: 1, put: 0, pop: 1, record: 1}, 10)
	f("a block is queued twice", handOvers{offer: 1, put: 2, pop: 1, record: 1}, -10)
	f("a block is forgotten when blocks are joined", handOvers{offer: 1, put: 1, pop: 1, record: 1, loseJoined: true}, 10)
	f("a block is joined twice", handOvers{offer: 1, put: 1, pop: 1, record: 1, doubleJoined: true}, -10)
	f("a block is popped and forgotten", handOvers{offer: 1, put: 1, pop: 2, record: 1}, 10)
	f("a result is counted twice", handOvers{offer: 1, put: 1, pop: 1, record: 2}, -10)
	f("a result misses an event", handOvers{offer: 1, put: 1, pop: 1, record: 1, result: func(r *result) { r.delivered-- }}, 1)
	f("a result has one too many", handOvers{offer: 1, put: 1, pop: 1, record: 1, result: func(r *result) { r.refused++ }}, -1)
	f("queue_full is counted for nothing", handOvers{offer: 1, put: 1, pop: 1, record: 1,
		count: func(p *account.Shard) { p.Add(account.QueueFull, 1) }}, -1)
}

// A result that nobody counts stays visible as held: the worker never lets go of its block.
func TestUncountedResultIsHeld(t *testing.T) {
	r := testRunner(t, &fake{}, quick(1, 0), true, nil)
	w := r.workers[0]
	w.writer = &fake{}
	offer(r.Intake(), 10)
	r.join.round(true)
	b, _ := popBlock(r.queue)
	w.deliver(context.Background(), w.hold(item{block: b}))
	l := r.Ledger(func() uint64 { return 10 })
	if l.Held != 10 || l.Outcomes[account.Delivered].Value != 0 {
		t.Errorf("held %d, delivered %d; want 10, 0", l.Held, l.Outcomes[account.Delivered].Value)
	}
}

// While everything moves, the ledger is off by no more than what is being handed over: at
// most everything that was in the runner is missing, and at most each worker's block counts twice.
func TestLedgerWhileMoving(t *testing.T) {
	const n, batch, workers = 50000, 50, 4
	r := testRunner(t, &fake{}, quick(workers, batch), false, nil)
	r.Start(context.Background())
	in := r.Intake()
	for i := range n {
		in.Offer(testEvent(uint16(i)))
		if i%1000 != 0 {
			continue
		}
		in.Tick(time.Now())
		offered := func() uint64 { return uint64(i + 1) }
		before, l := r.Ledger(offered), r.Ledger(offered)
		inside := int64(l.In - before.Outcomes[account.Delivered].Value)
		if u := l.Unaccounted(); u < -batch*workers || u > inside {
			t.Errorf("after %d events: %d unaccounted, with %d inside", i+1, u, inside)
		}
	}
	in.Flush()
	r.Stop(context.Background())
	checkLedger(t, r, n, "delivered 50000")
}

// The hand-overs of the spool: a block of ten events goes from the queue to the disk and
// from there to the writer step by step, and each step may be spoiled.
func TestSpoolLedgerShowsMutations(t *testing.T) {
	const lose, double = 0, 2
	f := func(what string, store, read, done int, want int64) {
		t.Helper()
		s := newDestination(false)
		r := testRunner(t, &s.fake, spoolSettings(t.TempDir(), false), true, nil)
		w, q := r.workers[0], r.spool
		w.writer = s
		offer(r.Intake(), 10)
		b, _ := popBlock(r.queue)
		for range store {
			if _, err := q.write(item{block: b}, false); err != nil {
				t.Fatal(err)
			}
		}
		for range store * read { // a second read finds nothing: the block is gone from the disk
			it, ok := q.readSpool()
			if !ok {
				break
			}
			d := w.hold(it)
			w.deliver(context.Background(), d)
			for range done {
				w.record(d)
			}
			w.inHand = nil // forgets whatever is in hand
			w.publish()
		}
		l := r.Ledger(func() uint64 { return 10 })
		if n := l.Unaccounted(); n != want {
			t.Errorf("%s: %d unaccounted, want %d: %+v", what, n, want, l)
		}
		close(q.ended) // move never ran
		r.finish()
	}
	f("nothing spoiled", 1, 1, 1, 0)
	f("a block is not stored", lose, 1, 1, 10)
	f("a block is stored twice", double, 1, 1, -10)
	f("a block is read and not counted", 1, 1, lose, 10)
	f("a block is counted twice", 1, 1, double, -10)
}
