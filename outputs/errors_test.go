package outputs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// If a destination answers per event, only what failed is tried again, under a new id that
// then stays the same.
func TestPartial(t *testing.T) {
	busy := errors.New("busy")
	var got []string
	var ids []event.ID
	size := 0 // of the first block
	answers := []struct {
		refused int
		err     error
	}{
		{2, &Partial{[]int{1, 4, 7}, busy}}, // of 10: 2 never, 3 later, 5 delivered
		{0, busy},
		{0, &Partial{[]int{2}, busy}},
		{0, &Partial{[]int{1}, busy}}, // two failures in a block of one make no sense, so all is sent again
		{0, nil},
	}
	r := testRunner(t, &fake{write: func(_ context.Context, b *event.Block) (int, error) {
		got, ids = append(got, fmt.Sprint(dnsIDs(b))), append(ids, b.ID())
		size = max(size, b.Size())
		a := answers[0]
		answers = answers[1:]
		return a.refused, a.err
	}}, quick(1, 10), false, nil)
	r.Start(context.Background())
	offer(r.Intake(), 10)
	r.Stop(context.Background())
	checkLedger(t, r, 10, "delivered 8, refused 2, retries 4")
	if n := r.counters.Sum(account.OutBytes); n != uint64(size) {
		t.Errorf("%d bytes are acknowledged, want each once: %d", n, size)
	}
	want := []string{"[0 1 2 3 4 5 6 7 8 9]", "[1 4 7]", "[1 4 7]", "[7]", "[7]"}
	if !slices.Equal(got, want) {
		t.Errorf("attempts with %v, want %v", got, want)
	}
	if ids[0] == ids[1] || ids[1] != ids[2] || ids[2] == ids[3] || ids[3] != ids[4] {
		t.Errorf("ids %v: want a new one for each smaller block", ids)
	}
}

func TestPartialForGood(t *testing.T) {
	f := func(err error, want string) {
		t.Helper()
		r := testRunner(t, &fake{write: func(context.Context, *event.Block) (int, error) { return 0, err }}, quick(1, 10), false, nil)
		r.Start(context.Background())
		offer(r.Intake(), 10)
		r.Stop(context.Background())
		checkLedger(t, r, 10, want)
	}
	f(&Partial{[]int{3}, Permanent(io.EOF)}, "delivered 9, refused 1, retries 0")
	f(&Partial{nil, io.EOF}, "delivered 10, refused 0, retries 0")
	f(&Partial{[]int{3, 4}, ErrReaderGone}, "delivered 8, abandoned 2")
}

// What the destination asks for sets the pause, up to a limit.
func TestRetryAfter(t *testing.T) {
	r := testRunner(t, &fake{}, quick(1, 10), false, nil)
	f := func(after, least, most time.Duration) {
		t.Helper()
		err := fmt.Errorf("write: %w", &RetryAfter{after, errors.New("busy")})
		if d := retryDelay(r.newBackOff(), err); d < least || d > most {
			t.Errorf("pause %s after RetryAfter %s, want %s to %s", d, after, least, most)
		}
	}
	f(time.Minute, time.Minute, time.Minute)
	f(0, time.Microsecond, 4*time.Millisecond)
	f(-time.Hour, time.Microsecond, 4*time.Millisecond)
	f(time.Hour, MaxRetryAfter, MaxRetryAfter)
	for delays := range 3 {
		b := r.newBackOff()
		for range 50 {
			if d := retryDelay(b, io.EOF); d > 4*time.Millisecond {
				t.Errorf("sequence %d: pause %s, want at most 4ms", delays, d)
			}
		}
	}

	var attempts []time.Time
	r = testRunner(t, &fake{write: func(context.Context, *event.Block) (int, error) {
		if attempts = append(attempts, time.Now()); len(attempts) == 1 {
			return 0, &RetryAfter{100 * time.Millisecond, errors.New("busy")}
		}
		return 0, nil
	}}, quick(1, 10), false, nil)
	r.Start(context.Background())
	offer(r.Intake(), 1)
	r.Stop(context.Background())
	if d := attempts[1].Sub(attempts[0]); d < 100*time.Millisecond {
		t.Errorf("tried again after %s, asked for 100ms", d)
	}
}

func TestPermanentKeepsTheText(t *testing.T) {
	err := fmt.Errorf("write: %w", Permanent(io.EOF))
	if !errors.Is(err, ErrPermanent) || !errors.Is(err, io.EOF) || strings.Contains(err.Error(), "permanent") {
		t.Errorf("%v", err)
	}
}

// TestSubsetOfStoredBlocks: the events copied out of a stored block are unchanged, including
// fields that this build does not know, and are in this build's layout.
func TestSubsetOfStoredBlocks(t *testing.T) {
	for _, name := range []string{"block-v1", "block-v2"} {
		stored, err := os.ReadFile("../userspace/event/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := event.OpenBlock(stored)
		if err != nil {
			t.Fatal(err)
		}
		var odd []int
		for i := 1; i < b.Len(); i += 2 {
			odd = append(odd, i)
		}
		some := subset(b, odd, event.NewIDs().Next(), time.Now())
		if h, err := event.ReadHeader(some.Bytes()); err != nil || h.Version != 2 || h.Events != len(odd) {
			t.Errorf("%s: header %+v, %v", name, h, err)
		}
		var want, got event.Event
		all, picked := b.Reader(), some.Reader()
		for i := 0; all.Next(&want); i++ {
			if i%2 == 0 {
				continue
			}
			if !picked.Next(&got) {
				t.Fatalf("%s: event %d is missing", name, i)
			}
			for _, e := range []*event.Event{&want, &got} {
				e.Identity, e.Version = append([]byte{}, e.Identity...), append([]byte{}, e.Version...)
			}
			if !reflect.DeepEqual(&got, &want) {
				t.Errorf("%s: event %d is\n%+v\nwant\n%+v", name, i, got, want)
			}
		}
	}
}
