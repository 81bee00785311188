package outputs

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// TestCall: an attempt ends with its context, whatever the call does; whoever waits later
// gets the result, and the call is made once.
func TestCall(t *testing.T) {
	calls, release := 0, make(chan struct{})
	call := StartCall(func() int {
		calls++
		<-release
		return 7
	})
	for range 3 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		if n, err := call.Wait(ctx); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while it hangs: %d, %v", n, err)
		}
		cancel()
	}
	close(release)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if n, err := call.Wait(context.Background()); n != 7 || err != nil {
				t.Errorf("after its end: %d, %v", n, err)
			}
		})
	}
	all.Wait()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for range 100 { // select takes either of two that are ready
		if n, err := call.Wait(ended); n != 7 || err != nil {
			t.Fatalf("with a context that has ended: %d, %v", n, err)
		}
	}
	if calls != 1 {
		t.Errorf("%d calls, want 1", calls)
	}
}
