package outputtest

import (
	"errors"
	"slices"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/userspace/event"
)

// failsOne: when the destination fails with one event for the moment, Write says which
// one, and the destination has all others.
func failsOne(t T, target *Target) {
	w, list := open(t, target), events(30)
	target.FailOne(target.Want(list[13])[0], 1)
	n, err := write(w, block(event.NewIDs(), list), waitLimit)
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

// oneLater: an event that fails for the moment arrives later, as do the others in its
// block, each once. One of those is refused.
func oneLater(t T, target *Target) {
	list, arrive := events(60), 60
	wanted := slices.Clone(list)
	target.FailOne(target.Want(list[23])[0], 3)
	if target.Refuse != nil {
		target.Refuse(target.Want(list[21])[0]) // this must not change the index of the one that fails
		wanted, arrive = slices.Delete(wanted, 21, 22), arrive-1
	}
	l := through(t, target, outputs.Settings{Workers: 2, BatchSize: 20}, list, nil)
	ledgerHas(t, l, uint64(arrive), uint64(len(list)-arrive))
	if n := retriesIn(l); n < 3 {
		t.Errorf("%d retries of an event that failed 3 times", n)
	}
	atDestination(t, target, wanted)
}
