package outputtest

import (
	"context"
	"errors"
	"slices"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/userspace/event"
)

// failsOne: where one event fails for the moment, Write says which, and all others
// have been taken.
func failsOne(t T, target *Target) {
	if target.FailOne == nil {
		t.Skipf("this destination does not answer for single events")
		return
	}
	w, list := open(t, target), events(30)
	target.FailOne(target.Want(list[13])[0], 1)
	n, err := write(w, block(event.NewIDs(), list), patience)
	var partial *outputs.Partial
	switch {
	case n != 0 || !errors.As(err, &partial):
		t.Errorf("Write = %d, %v where one event fails for the moment; want 0 and a Partial", n, err)
	case !slices.Equal(partial.Failed, []int{13}) || partial.Err == nil:
		t.Errorf("Partial of the events %v for the reason %v, want 13 alone and the destination's reason", partial.Failed, partial.Err)
	}
	atDestination(t, target, slices.Delete(slices.Clone(list), 13, 14))
	closeWriter(t, w)
}

// oneLater: an event that fails for the moment arrives later, beside others and
// beside one that is refused; each once.
func oneLater(t T, target *Target) {
	if target.FailOne == nil {
		t.Skipf("this destination does not answer for single events")
		return
	}
	list, arrive := events(60), 60
	wanted := slices.Clone(list)
	target.FailOne(target.Want(list[23])[0], 3)
	if target.Refuse != nil {
		target.Refuse(target.Want(list[21])[0]) // which does not change the number of the one that fails
		wanted, arrive = slices.Delete(wanted, 21, 22), arrive-1
	}
	l := through(t, target, outputs.Settings{Workers: 2, BatchSize: 20}, list, nil)
	ledgerHas(t, l, uint64(arrive), uint64(len(list)-arrive))
	for _, m := range l.Meters {
		if m.Name == "retries" && m.Value < 3 {
			t.Errorf("%d retries of an event that failed 3 times", m.Value)
		}
	}
	atDestination(t, target, wanted)
}

// busyFor is what a destination asks for in the case "retry after": HTTP has no
// shorter time.
const busyFor = time.Second

// comesBack: a destination that says when to come back is not asked before, and
// then gets all.
func comesBack(t T, target *Target) {
	if target.Busy == nil {
		t.Skipf("this destination does not say when to come back")
		return
	}
	w := open(t, target)
	target.Busy(1, busyFor)
	_, err := write(w, block(event.NewIDs(), events(5)), patience)
	var wish *outputs.RetryAfter
	if !errors.As(err, &wish) || wish.Wait != busyFor {
		t.Errorf("Write = %v while the destination asks for %s; want a RetryAfter of that", err, busyFor)
	}
	closeWriter(t, w)

	target.Busy(1, busyFor)
	list, from := events(20), time.Now()
	l := through(t, target, outputs.Settings{Workers: 1, BatchSize: 50}, list, nil)
	if took := time.Since(from); took < busyFor {
		t.Errorf("delivered after %s, though the destination had asked for %s", took, busyFor)
	}
	ledgerHas(t, l, uint64(len(list)), 0)
	atDestination(t, target, list)
}

// doesNotWait: where the destination asks to come back later, Write says so at once,
// and leaves the waiting to the runner.
func doesNotWait(t T, target *Target) {
	if target.Busy == nil {
		t.Skipf("this destination does not say when to come back")
		return
	}
	w := open(t, target)
	target.Busy(1, time.Hour)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := w.Write(ctx, block(event.NewIDs(), events(5))); err == nil || ctx.Err() != nil {
		t.Errorf("Write = %v after the destination asked for an hour, which is the runner's to wait", err)
	}
	closeWriter(t, w)
}
