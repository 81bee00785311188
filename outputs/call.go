package outputs

import "context"

// Call is a call that cannot be cancelled, such as a write to a pipe that nobody reads
// or to a disk that does not answer. It goes on when the attempt that started it has
// ended; a later attempt waits for it instead of writing again. What the call was given,
// above all its buffers, belongs to it until Wait has returned the result. A call that
// never returns keeps them, and its goroutine, for ever.
type Call[T any] struct {
	done   chan struct{}
	result T
}

// StartCall runs call in a goroutine of its own.
func StartCall[T any](call func() T) *Call[T] {
	c := &Call[T]{done: make(chan struct{})}
	go func() {
		c.result = call()
		close(c.done)
	}()
	return c
}

// Wait returns the result of the call, or the error of ctx if that ends first while the
// call goes on. Any number of goroutines may wait, each as often as it likes.
func (c *Call[T]) Wait(ctx context.Context) (T, error) {
	select {
	case <-c.done:
		return c.result, nil
	case <-ctx.Done():
	}
	select { // if both have happened, the result counts
	case <-c.done:
		return c.result, nil
	default:
		var none T
		return none, ctx.Err()
	}
}
