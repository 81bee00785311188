package outputs

import "context"

// Pending is a call that cannot be called back, such as a write to a pipe that
// nobody reads or to a disk that does not answer: it goes on when the attempt that
// began it has ended, and a later attempt waits for it instead of writing again.
// What the call was given, its bytes above all, is its own until Wait has returned
// the result; a call that never returns keeps it for ever, with its goroutine.
type Call[T any] struct {
	done   chan struct{}
	result T
}

// Begin starts a call in a goroutine of its own.
func StartCall[T any](call func() T) *Call[T] {
	p := &Call[T]{done: make(chan struct{})}
	go func() {
		p.result = call()
		close(p.done)
	}()
	return p
}

// Wait returns what the call has returned, or the error of ctx where that ends
// before: the call is under way still. Any number of goroutines may wait, each as
// often as it likes.
func (p *Call[T]) Wait(ctx context.Context) (T, error) {
	select {
	case <-p.done:
		return p.result, nil
	case <-ctx.Done():
	}
	select { // where both have happened, the result counts
	case <-p.done:
		return p.result, nil
	default:
		var none T
		return none, ctx.Err()
	}
}
