// Package outputtest checks that an output keeps the promises of outputs.Output and
// outputs.Writer, whatever its destination is. A test of the output hands in the output
// and its destination, and functions that make the destination fail (Target); the cases
// come back as subtests. Events are made up here, one for each thing that a message can
// have or lack (traffic.go). It knows no output. testdata/collector is the example of
// docs/adding-an-output.md.
package outputtest

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	sensordns "dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// T is the part of testing.T that the cases use.
type T interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Target is an output and its destination. Each case gets a new one.
type Target struct {
	Output outputs.Output

	// Want returns what e becomes at the destination, in the form of Received: one
	// record, or one for each selected question of e.
	Want func(e *event.Event) []string
	// Received returns what the destination has acknowledged so far, one string for
	// each record, in any order. It does not wait.
	Received func() []string

	// Fail makes the destination fail the next n attempts to write in a way that can
	// be retried. It takes nothing, or only part, of such an attempt.
	Fail func(n int)
	// Hang makes the destination accept nothing and answer nothing until release is
	// called.
	Hang func() (release func())

	// The following are nil if the destination cannot do that. Cases that need it are left
	// out.

	// Refuse makes the destination refuse for good the event that becomes want.
	Refuse func(want string)
	// FailOne makes the destination fail n times, in a way that can be retried, with
	// the event that becomes want, and accept the others of the attempt.
	FailOne func(want string, n int)
	// Busy makes the destination accept nothing of the next n attempts to write, and
	// ask for a retry after wait, in whole seconds.
	Busy func(n int, wait time.Duration)

	limit time.Duration // returned by maxWait; 0: waitLimit
}

// maxWait bounds a wait that ends by itself if the writer is right.
func (t *Target) maxWait() time.Duration { return cmp.Or(t.limit, waitLimit) }

// Run checks an output. newTarget makes a new one with an empty destination, and
// registers with t.Cleanup what has to be closed.
func Run(t *testing.T, newTarget func(t T) *Target) {
	var probe Target // tells what the destination can do
	t.Run("can fail and hang", func(t *testing.T) {
		if probe = *newTarget(t); probe.Fail == nil || probe.Hang == nil {
			t.Fatal("the Target has no Fail or no Hang: every destination can fail and hang")
		}
	})
	for _, c := range Cases() {
		if c.possible == nil || c.possible(&probe) {
			t.Run(c.Name, func(t *testing.T) { c.Run(t, newTarget(t)) })
		}
	}
}

// parsing serializes app.Run, which writes package variables of cli: tests run in
// parallel.
var parsing sync.Mutex

// Options sets the options of an output from a command line.
func Options(t T, o outputs.Output, args ...string) {
	t.Helper()
	parsing.Lock()
	defer parsing.Unlock()
	app := &cli.App{HideHelp: true, Flags: o.Flags(), Writer: io.Discard, Action: func(*cli.Context) error { return nil }}
	if err := app.Run(append([]string{"test"}, args...)); err != nil {
		t.Fatalf("parse %v: %v", args, err)
	}
}

// Case checks one promise.
type Case struct {
	Name     string
	Run      func(t T, target *Target)
	possible func(*Target) bool // whether the destination can do what the case needs; nil: every one can
}

func canRefuse(t *Target) bool  { return t.Refuse != nil }
func canFailOne(t *Target) bool { return t.FailOne != nil }
func canBeBusy(t *Target) bool  { return t.Busy != nil }

// Cases returns a case for each promise.
func Cases() []Case {
	return []Case{
		{"acknowledged", acknowledged, nil},
		{"exactly once", exactlyOnce, nil},
		{"many workers", manyWorkers, nil},
		{"open's context", openContext, nil},
		{"retries", retries, nil},
		{"same block again", sameBlockAgain, nil},
		{"fresh timeout", freshTimeout, nil},
		{"write ends with its context", writeEnds, nil},
		{"stop", stopEnds, nil},
		{"refused", refused, canRefuse},
		{"all shapes of events", allShapes, nil},
		{"one fails", failsOne, canFailOne},
		{"one later", oneLater, canFailOne},
		{"retry after", comesBack, canBeBusy},
		{"does not wait itself", doesNotWait, canBeBusy},
		{"close twice", closeTwice, nil},
	}
}

// events makes n events with different names, addresses, times and sizes. Some have two
// questions: the index of an event is not that of its row.
func events(n int) []*event.Event {
	list := make([]*event.Event, n)
	for i := range list {
		m := new(dns.Msg)
		m.SetQuestion(fmt.Sprintf("n%d.example.org.", i), dns.TypeA)
		m.Id = uint16(i)
		if i%5 == 2 {
			m.Question = append(m.Question, dns.Question{Name: fmt.Sprintf("m%d.example.org.", i), Qtype: dns.TypeAAAA, Qclass: dns.ClassINET})
		}
		for range i % 7 {
			m.Answer = append(m.Answer, &dns.TXT{
				Hdr: dns.RR_Header{Name: "example.org.", Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: uint32(i)},
				Txt: []string{"one record that makes the message longer"},
			})
		}
		msg, err := m.Pack()
		if err != nil {
			panic(err)
		}
		e := &event.Event{
			Time:    time.Date(2026, 1, 2, 3, 4, 5, i, time.UTC).UnixNano(),
			Src:     netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), uint16(1024+i)),
			Dst:     netip.MustParseAddrPort("192.0.2.53:53"),
			Proto:   event.UDP,
			Message: msg,
		}
		if i%3 == 0 {
			e.Src = netip.MustParseAddrPort("[2001:db8::1]:5353")
			e.Dst = netip.MustParseAddrPort("[2001:db8::53]:53")
			e.Proto = event.TCP
		}
		sensordns.Read(msg, false, &e.DNS)
		list[i] = e
	}
	return list
}

func block(ids *event.IDs, list []*event.Event) *event.Block {
	b := event.NewBlock(1 << 10)
	for _, e := range list {
		b.Append(e)
	}
	b.Seal(ids.Next(), time.Now())
	return b
}

// atDestination expects the record of each event in list once, and nothing else.
func atDestination(t T, target *Target, list []*event.Event) {
	t.Helper()
	missing := make(map[string]int, len(list))
	for _, e := range list {
		for _, record := range target.Want(e) {
			missing[record]++
		}
	}
	for _, r := range target.Received() {
		missing[r]--
	}
	wrong := 0
	for record, n := range missing {
		if n == 0 {
			continue
		}
		if wrong++; wrong <= 3 {
			t.Errorf("%d missing at the destination (negative: too many): %.300q", n, record)
		}
	}
	if wrong > 3 {
		t.Errorf("and %d more like this", wrong-3)
	}
}

func open(t T, target *Target) outputs.Writer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel() // the writer must not depend on it any more
	w, err := target.Output.Open(ctx)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return w
}

func closeWriter(t T, w outputs.Writer) {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func write(w outputs.Writer, b *event.Block, timeout time.Duration) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return w.Write(ctx, b)
}
