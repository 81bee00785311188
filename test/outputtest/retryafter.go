package outputtest

import (
	"context"
	"errors"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/userspace/event"
)

// busyFor is the delay that the destination asks for in the case "retry after": HTTP has
// no shorter one.
const busyFor = time.Second

// comesBack: a destination that says when to retry is not tried before that time, and
// then gets everything.
func comesBack(t T, target *Target) {
	w := open(t, target)
	target.Busy(1, busyFor)
	_, err := write(w, block(event.NewIDs(), events(5)), waitLimit)
	var retry *outputs.RetryAfter
	if !errors.As(err, &retry) || retry.Wait != busyFor {
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

// doesNotWait: when the destination asks for a later retry, Write returns at once, and
// leaves the waiting to the runner.
func doesNotWait(t T, target *Target) {
	w := open(t, target)
	target.Busy(1, time.Hour)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := w.Write(ctx, block(event.NewIDs(), events(5))); err == nil || ctx.Err() != nil {
		t.Errorf("Write = %v after the destination asked for an hour, which is the runner's to wait", err)
	}
	closeWriter(t, w)
}
