// Package outputtest checks that an output keeps the promises of
// outputs.Output and outputs.Writer, whatever its destination is.
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
	Skipf(format string, args ...any)
}

// Target is one output and its destination, new for each case.
type Target struct {
	Output outputs.Output

	// Want is what e becomes at the destination, as Received gives it: one record,
	// or one for each question that e has taken.
	Want func(e *event.Event) []string
	// Received is what the destination has acknowledged up to now, one string
	// for each record, in any order. It does not wait.
	Received func() []string

	// Fail makes the destination fail the next n attempts to write, so that
	// they can be repeated, and take nothing, or only part, of what they bring.
	Fail func(n int)
	// Hang makes the destination take nothing and answer nothing until release
	// is called.
	Hang func() (release func())
	// Refuse makes the destination refuse for good the event that becomes want.
	Refuse func(want string)
	// FailOne makes the destination fail n times, for the moment, with the event
	// that becomes want, and take what comes beside it: it answers for each event.
	FailOne func(want string, n int)
	// Busy makes the destination answer the next n attempts to write with the wish
	// to come back after wait, whole seconds, and take nothing.
	Busy func(n int, wait time.Duration)

	patience time.Duration // 0: patience
}

// wait bounds what ends by itself where the writer is right.
func (t *Target) wait() time.Duration { return cmp.Or(t.patience, patience) }

// Run checks an output. newTarget makes a fresh one, with a clean destination;
// what it opens it closes with t.Cleanup. A nil Fail, Hang, Refuse, FailOne or
// Busy says that this destination cannot do that, and skips the cases that need it.
func Run(t *testing.T, newTarget func(t T) *Target) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) { c.Run(t, newTarget(t)) })
	}
}

// parsing is held while cli runs, which writes variables of its own package: tests
// are parallel.
var parsing sync.Mutex

// Options sets an output's options from a command line.
func Options(t T, o outputs.Output, args ...string) {
	t.Helper()
	parsing.Lock()
	defer parsing.Unlock()
	app := &cli.App{Flags: o.Flags(), Writer: io.Discard, Action: func(*cli.Context) error { return nil }}
	if err := app.Run(append([]string{"test"}, args...)); err != nil {
		t.Fatalf("parse %v: %v", args, err)
	}
}

// Case is one promise.
type Case struct {
	Name string
	Run  func(t T, target *Target)
}

// Cases are all promises.
func Cases() []Case {
	return []Case{
		{"acknowledged", acknowledged},
		{"exactly once", exactlyOnce},
		{"many workers", manyWorkers},
		{"open's context", openContext},
		{"retries", retries},
		{"partial retries", writerRetries},
		{"fresh timeout", freshTimeout},
		{"write ends with its context", writeEnds},
		{"stop", stopEnds},
		{"refused", refused},
		{"real traffic", realTraffic},
		{"one fails", failsOne},
		{"one later", oneLater},
		{"retry after", comesBack},
		{"does not wait itself", doesNotWait},
		{"close twice", closeTwice},
	}
}

// events makes n different ones: names, addresses, times and sizes. Some have two
// questions: the number of an event is not that of its row.
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

// atDestination compares what was received with list: each event's record once,
// and nothing else.
func atDestination(t T, target *Target, list []*event.Event) {
	t.Helper()
	open := make(map[string]int, len(list))
	for _, e := range list {
		for _, record := range target.Want(e) {
			open[record]++
		}
	}
	for _, r := range target.Received() {
		open[r]--
	}
	wrong := 0
	for record, n := range open {
		if n == 0 {
			continue
		}
		if wrong++; wrong <= 3 {
			t.Errorf("at the destination %d times too few (less than 0: too many): %.300q", n, record)
		}
	}
	if wrong > 3 {
		t.Errorf("and %d more like this", wrong-3)
	}
}

func open(t T, target *Target) outputs.Writer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel() // means nothing to the writer any more
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
