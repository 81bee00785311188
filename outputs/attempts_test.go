package outputs

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestTryEach: each address is tried once, with its share of the time, until one
// succeeds or the attempt is over.
func TestTryEach(t *testing.T) {
	f := func(what string, timeout time.Duration, stopAt string, want string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		a := NewAddresses(slog.New(slog.DiscardHandler), "a", "b", "c")
		var got []string
		shares := time.Duration(3)
		a.TryEach(ctx, func(part context.Context, at Address) bool {
			end, _ := part.Deadline()
			if left := time.Until(end); left > timeout/shares {
				t.Errorf("%s: %s gets %s of %s", what, at.Name, left, timeout)
			}
			shares--
			got = append(got, at.Name)
			if at.Name == "b" && what == "a stop" {
				cancel()
			}
			return at.Name != stopAt
		})
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: tried %q, want %q", what, s, want)
		}
	}
	f("the first succeeds", time.Minute, "a", "a")
	f("the second succeeds", time.Minute, "b", "a b")
	f("all fail", time.Minute, "", "a b c")
	f("a stop", time.Minute, "", "a b")
	f("no time is left", 0, "", "")
}

// TestTryReady: addresses that pause are left alone, and their pauses go on. The reason of
// the first one is known.
func TestTryReady(t *testing.T) {
	a := newTestAddresses(t, 3)
	try := func(want string) {
		t.Helper()
		got := ""
		a.TryReady(context.Background(), func(_ context.Context, at Address) bool {
			got += at.Name[:3]
			a.Bad(at, errors.New("refused by "+at.Name[:3]))
			return at.Index != 1
		})
		if got != want {
			t.Errorf("tried %q, want %q", got, want)
		}
	}
	if err := a.Why(); err != nil {
		t.Errorf("no address is bad, because of %v", err)
	}
	try("db1db2")
	try("db3")
	try("")
	a.advance(addressPause - time.Millisecond)
	try("")
	if err := a.Why(); err == nil || err.Error() != "refused by db1" {
		t.Errorf("bad because of %v", err)
	}
	a.advance(time.Millisecond)
	try("db1db2")
}

// TestReport: a stop says nothing about an address, a timeout does.
func TestReport(t *testing.T) {
	f := func(what string, ctx context.Context, err error, want string) {
		t.Helper()
		a := NewAddresses(slog.New(slog.DiscardHandler), "a", "b")
		a.Report(ctx, a.Next(), err)
		if next := a.Next(); next.Name != want {
			t.Errorf("%s: the next attempt tries %s, want %s", what, next.Name, want)
		}
	}
	failed := errors.New("failed")
	stopped, cancel := context.WithCancel(context.Background())
	cancel()
	late, cancel := context.WithTimeout(context.Background(), 0)
	defer cancel()
	f("success", context.Background(), nil, "a")
	f("failure", context.Background(), failed, "b")
	f("stop", stopped, failed, "a")
	f("timeout", late, failed, "b")
}
