package outputtest

import (
	"context"
	"slices"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// waitLimit is how long a case waits for something that takes a moment on an idle
// machine.
const waitLimit = await.Limit

// acknowledged: when Write returns, the destination has the events.
func acknowledged(t T, target *Target) {
	w, ids, list := open(t, target), event.NewIDs(), events(60)
	for part := range slices.Chunk(list, 20) {
		if n, err := write(w, block(ids, part), waitLimit); n != 0 || err != nil {
			t.Fatalf("Write = %d, %v; want 0, nil", n, err)
		}
	}
	atDestination(t, target, list)
	closeWriter(t, w)
}

// exactlyOnce: with one worker and small batches each event arrives once.
func exactlyOnce(t T, target *Target) {
	list := events(500)
	l := through(t, target, outputs.Settings{Workers: 1, BatchSize: 7}, list, nil)
	ledgerHas(t, l, uint64(len(list)), 0)
	atDestination(t, target, list)
}

// manyWorkers: workers that write at the same time do not mix up records.
func manyWorkers(t T, target *Target) {
	list := events(3000)
	l := through(t, target, outputs.Settings{Workers: 8, BatchSize: 11}, list, nil)
	ledgerHas(t, l, uint64(len(list)), 0)
	atDestination(t, target, list)
}

// openContext: the context of Open bounds that attempt, not the life of the writer.
func openContext(t T, target *Target) {
	w, list := open(t, target), events(3)
	time.Sleep(20 * time.Millisecond) // until the end of the context has taken effect
	if _, err := write(w, block(event.NewIDs(), list), waitLimit); err != nil {
		t.Errorf("Write after the end of Open's context: %v", err)
	}
	atDestination(t, target, list)
	closeWriter(t, w)
}

// retries: events whose attempt failed are sent again, and arrive once.
func retries(t T, target *Target) {
	target.Fail(5)
	list := events(300)
	l := through(t, target, outputs.Settings{Workers: 3, BatchSize: 10}, list, nil)
	ledgerHas(t, l, uint64(len(list)), 0)
	if n := retriesIn(l); n < 5 {
		t.Errorf("%d retries after 5 failures: a writer hides errors", n)
	}
	atDestination(t, target, list)
}

// sameBlockAgain: after a failed Write the writer accepts the same block again, and then
// others.
func sameBlockAgain(t T, target *Target) {
	w, ids, list := open(t, target), event.NewIDs(), events(40)
	for i, part := range slices.Collect(slices.Chunk(list, 10)) {
		b := block(ids, part)
		if i%2 == 0 {
			target.Fail(1)
			if _, err := write(w, b, waitLimit); err == nil {
				t.Errorf("Write = nil while the destination fails")
				continue
			}
		}
		if _, err := write(w, b, waitLimit); err != nil {
			t.Errorf("Write after the failure: %v", err)
		}
	}
	atDestination(t, target, list)
	closeWriter(t, w)
}

// freshTimeout: each attempt has a timeout of its own. A destination that answers again
// after several timeouts gets everything, once.
func freshTimeout(t T, target *Target) {
	const workers = 2
	release := target.Hang()
	list := events(50)
	set := outputs.Settings{Workers: workers, BatchSize: 10, Timeout: time.Second} // enough for an answer on a busy machine
	l := through(t, target, set, list, func(r *outputs.Runner) {
		await.Within(target.maxWait(), func() bool { return retriesIn(r.Ledger(func() uint64 { return 0 })) >= 2*workers })
		release()
	})
	ledgerHas(t, l, uint64(len(list)), 0)
	atDestination(t, target, list)
}

// writeEnds: Write returns when its context ends.
func writeEnds(t T, target *Target) {
	w := open(t, target)
	release := target.Hang()
	done := make(chan error, 1)
	b := block(event.NewIDs(), events(10))
	go func() {
		_, err := write(w, b, 50*time.Millisecond)
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Errorf("Write = nil while the destination answers nothing")
		}
	case <-time.After(target.maxWait()):
		t.Errorf("Write still runs %s after the end of its context", target.maxWait())
		release()
		<-done
		return
	}
	release()
	closeWriter(t, w)
}

// stopEnds: while the destination hangs, the stop ends soon after its grace time, and
// the ledgers balance.
func stopEnds(t T, target *Target) {
	release := target.Hang()
	defer release()
	r := start(t, target, outputs.Settings{Workers: 2, BatchSize: 5})
	in := r.Intake()
	list := events(50)
	for _, e := range list {
		in.Offer(e)
	}
	in.Flush()
	grace, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	from := time.Now()
	r.Stop(grace)
	if took := time.Since(from); took > waitLimit {
		t.Errorf("Stop took %s with a grace time of 100ms", took)
	}
	l := r.Ledger(func() uint64 { return uint64(len(list)) })
	if l.Unaccounted() != 0 || l.Held != 0 {
		t.Errorf("after Stop: %d unaccounted, %d held: %+v", l.Unaccounted(), l.Held, l)
	}
}

// refused: an event that the destination never accepts is counted once, even if its
// block is sent again, and costs no other event.
func refused(t T, target *Target) {
	list := events(30)
	target.Refuse(target.Want(list[13])[0])
	if target.Fail != nil {
		target.Fail(3)
	}
	l := through(t, target, outputs.Settings{Workers: 1, BatchSize: len(list)}, list, nil)
	ledgerHas(t, l, uint64(len(list)-1), 1)
	atDestination(t, target, slices.Delete(slices.Clone(list), 13, 14))
}

// closeTwice: a second Close has no effect.
func closeTwice(t T, target *Target) {
	w, list := open(t, target), events(5)
	if _, err := write(w, block(event.NewIDs(), list), waitLimit); err != nil {
		t.Errorf("Write: %v", err)
	}
	closeWriter(t, w)
	closeWriter(t, w)
	atDestination(t, target, list)
}

// start starts a runner on the target's output.
func start(t T, target *Target, set outputs.Settings) *outputs.Runner {
	t.Helper()
	if set.Type == outputs.Off {
		set.Type = outputs.All
	}
	set.RetryFirst, set.RetryMax = time.Millisecond, 10*time.Millisecond
	r, err := outputs.NewRunner(target.Output, set, false, event.NewIDs(), account.NewDeliveryCounters(), nil)
	if err != nil {
		t.Fatalf("NewRunner: %v", err)
	}
	r.Start(context.Background())
	return r
}

// through sends list through a runner and stops the runner. Once everything is queued it
// calls meanwhile, unless that is nil.
func through(t T, target *Target, set outputs.Settings, list []*event.Event, meanwhile func(*outputs.Runner)) account.Ledger {
	t.Helper()
	r := start(t, target, set)
	in := r.Intake()
	for _, e := range list {
		in.Offer(e)
	}
	in.Flush()
	if meanwhile != nil {
		meanwhile(r)
	}
	grace, cancel := context.WithTimeout(context.Background(), target.maxWait())
	defer cancel()
	r.Stop(grace)
	return r.Ledger(func() uint64 { return uint64(len(list)) })
}

// retriesIn is the number of failed attempts that a ledger shows.
func retriesIn(l account.Ledger) uint64 {
	for _, m := range l.Meters {
		if m.Name == "retries" {
			return m.Value
		}
	}
	panic("no meter of retries")
}

// ledgerHas checks the ledger of a stopped runner.
func ledgerHas(t T, l account.Ledger, delivered, refused uint64) {
	t.Helper()
	if l.Unaccounted() != 0 || l.Held != 0 {
		t.Errorf("%d unaccounted, %d held: %+v", l.Unaccounted(), l.Held, l)
	}
	for _, o := range l.Outcomes {
		want := map[string]uint64{"delivered": delivered, "refused": refused}[o.Name]
		if o.Value != want {
			t.Errorf("%s %d, want %d", o.Name, o.Value, want)
		}
	}
}
