package outputs

import (
	"context"
	"testing"
	"time"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// path sends ten events through every hand-over by hand, so that a test can
// spoil any of them: offer, put, join, take and settle say how often, or how, the
// step is done. All of them 1 is how it should be.
type handOvers struct {
	offer, put, pop, settle  int             // of the fifth event; of its block
	loseJoined, doubleJoined bool            // the joiner forgets the block, or takes it twice
	result                   func(r *result) // changes what deliver says
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
	r.queue.Close()
	for {
		b, ok := popBlock(r.queue)
		if !ok {
			break
		}
		w.setInHand(item{block: b})
		res := w.deliver(context.Background(), b)
		if p.result != nil {
			p.result(&res)
		}
		for range p.settle {
			w.settle(res)
		}
	}
	if p.count != nil {
		p.count(w.shard)
	}
	w.setHeld(w.inFlight)
	l := r.Ledger(func() uint64 { return n })
	return l.Unaccounted()
}

// queue hands the open block over, or does what Flush would and puts it another
// number of times.
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
	parcels, _ := r.queue.takeUnbatched()
	switch {
	case p.loseJoined:
		parcels = parcels[1:]
	case p.doubleJoined:
		parcels = append(parcels, laneBlock{block: copyBlock(parcels[0].block)})
	}
	j.addAll(parcels)
	j.flush()
	j.setHeld(0)
	r.queue.setJoinerHeld(nil, time.Time{})
}

// Each way to lose, double or miscount at a hand-over shows in the ledger.
func TestBooksShowMutations(t *testing.T) {
	if n := (handOvers{offer: 1, put: 1, pop: 1, settle: 1}).unaccounted(t); n != 0 {
		t.Fatalf("nothing spoiled: %d unaccounted, want 0", n)
	}
	f := func(what string, p handOvers, want int64) {
		t.Helper()
		if n := p.unaccounted(t); n != want {
			t.Errorf("%s: %d unaccounted, want %d", what, n, want)
		}
	}
	f("an event is not offered", handOvers{offer: 0, put: 1, pop: 1, settle: 1}, 1)
	f("an event is offered twice", handOvers{offer: 2, put: 1, pop: 1, settle: 1}, -1)
	f("a block is not queued", handOvers{offer: 1, put: 0, pop: 1, settle: 1}, 10)
	f("a block is queued twice", handOvers{offer: 1, put: 2, pop: 1, settle: 1}, -10)
	f("a block is forgotten when blocks are joined", handOvers{offer: 1, put: 1, pop: 1, settle: 1, loseJoined: true}, 10)
	f("a block is joined twice", handOvers{offer: 1, put: 1, pop: 1, settle: 1, doubleJoined: true}, -10)
	f("a block is popped and forgotten", handOvers{offer: 1, put: 1, pop: 2, settle: 1}, 10)
	f("a result is counted twice", handOvers{offer: 1, put: 1, pop: 1, settle: 2}, -10)
	f("a result misses an event", handOvers{offer: 1, put: 1, pop: 1, settle: 1, result: func(r *result) { r.delivered-- }}, 1)
	f("a result has one too many", handOvers{offer: 1, put: 1, pop: 1, settle: 1, result: func(r *result) { r.refused++ }}, -1)
	f("queue_full is counted for nothing", handOvers{offer: 1, put: 1, pop: 1, settle: 1,
		count: func(p *account.Shard) { p.Add(account.QueueFull, 1) }}, -1)
}

// A result that nobody counts stays visible as held: the worker's block never
// leaves its hand.
func TestUncountedResultIsHeld(t *testing.T) {
	r := testRunner(t, &fake{}, quick(1, 0), true, nil)
	w := r.workers[0]
	w.writer = &fake{}
	offer(r.Intake(), 10)
	r.join.round(true)
	b, _ := popBlock(r.queue)
	w.setInHand(item{block: b})
	w.deliver(context.Background(), b)
	l := r.Ledger(func() uint64 { return 10 })
	if l.Held != 10 || l.Outcomes[account.Delivered].Value != 0 {
		t.Errorf("held %d, delivered %d; want 10, 0", l.Held, l.Outcomes[account.Delivered].Value)
	}
}

// While everything moves the ledgers are off by no more than what is between two
// hands: never more than what was in the runner, and never more in two places
// than each worker's block.
func TestBooksWhileMoving(t *testing.T) {
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

// The hand-overs of the spool: a block of ten goes from the queue to the disk
// and from there to the writer by hand, and each step may be spoiled.
func TestDiskBooksShowMutations(t *testing.T) {
	const lose, double = 0, 2
	f := func(what string, place, read, done int, want int64) {
		t.Helper()
		s := newDestination(false)
		r := testRunner(t, &s.fake, spoolSettings(t.TempDir(), false), true, nil)
		w, d := r.workers[0], r.spool
		w.writer = s
		offer(r.Intake(), 10)
		b, _ := popBlock(r.queue)
		for range place {
			if _, err := d.write(item{block: b}, false); err != nil {
				t.Fatal(err)
			}
		}
		for range place * read { // read again would be found: the block is gone from the disk
			it, ok := d.readSpool()
			if !ok {
				break
			}
			w.setInHand(it)
			res := w.deliver(context.Background(), it.block)
			for range done {
				w.settle(res)
			}
			w.setInHand(item{block: event.NewBlock(0)}) // whatever was in hand is forgotten
		}
		l := r.Ledger(func() uint64 { return 10 })
		if n := l.Unaccounted(); n != want {
			t.Errorf("%s: %d unaccounted, want %d: %+v", what, n, want, l)
		}
		close(d.ended) // move never ran
		r.finish()
	}
	f("nothing spoiled", 1, 1, 1, 0)
	f("a block is not stored", lose, 1, 1, 10)
	f("a block is stored twice", double, 1, 1, -10)
	f("a block is read and not counted", 1, 1, lose, 10)
	f("a block is counted twice", 1, 1, double, -10)
}
