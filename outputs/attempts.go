package outputs

import (
	"context"
	"errors"
	"time"
)

// TryEach calls try for one address after the other, in the order of Next and each once,
// until try returns false or ctx ends. Each call gets an equal share of the time that ctx
// leaves: an address that does not answer costs no more than that.
func (a *Addresses) TryEach(ctx context.Context, try func(ctx context.Context, at Address) (more bool)) {
	a.tryEach(ctx, func(tried []Address) (Address, bool) { return a.Next(tried...), true }, try)
}

// TryReady is TryEach without the addresses that pause.
func (a *Addresses) TryReady(ctx context.Context, try func(ctx context.Context, at Address) (more bool)) {
	a.tryEach(ctx, a.nextReady, try)
}

func (a *Addresses) tryEach(ctx context.Context, next func(tried []Address) (Address, bool), try func(ctx context.Context, at Address) (more bool)) {
	var tried []Address
	for left := a.Len(); left > 0 && ctx.Err() == nil; left-- {
		at, ok := next(tried)
		if !ok {
			return
		}
		tried = append(tried, at)
		part, cancel := ShareOfTime(ctx, left)
		more := try(part, at)
		cancel()
		if !more {
			return
		}
	}
}

// Report reports the result of an attempt: Good or Bad. If a stop ended the attempt, it
// reports nothing: the address may be good.
func (a *Addresses) Report(ctx context.Context, at Address, err error) {
	switch {
	case err == nil:
		a.Good(at)
	case !errors.Is(ctx.Err(), context.Canceled):
		a.Bad(at, err)
	}
}

// ShareOfTime gives an attempt one of several equal shares of the time that ctx leaves.
func ShareOfTime(ctx context.Context, shares int) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok || shares < 2 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(end)/time.Duration(shares))
}
