package outputs

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/domains"
	"dnsmonster-sensor/userspace/event"
)

// queryFor is a message with a question for each of the names.
func queryFor(names ...string) *event.Event {
	e := testEvent(1)
	e.Message[5] = byte(len(names))
	for _, n := range names {
		for label := range strings.SplitSeq(strings.TrimSuffix(n, "."), ".") {
			if label != "" {
				e.Message = append(append(e.Message, byte(len(label))), label...)
			}
		}
		e.Message = append(e.Message, 0, 0, 1, 0, 1)
	}
	dns.Read(e.Message, false, &e.DNS)
	return e
}

func domainList(t testing.TB, lines string) Matcher {
	t.Helper()
	l, err := domains.Parse(strings.NewReader(lines), domains.Labels)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// rowNames are the names of all rows of a block: commas between those of one event, "-" for
// none.
func rowNames(b *event.Block) string {
	var events []string
	var e event.Event
	for r := b.Reader(); r.Next(&e); {
		var names []string
		var row event.Row
		for rows := e.Rows(); rows.Next(&row); {
			if row.HasQuestion {
				names = append(names, string(rows.AppendName(nil, &row)))
			} else {
				names = append(names, "-")
			}
		}
		events = append(events, strings.Join(names, ","))
	}
	return strings.Join(events, " ")
}

// TestFilter: what each type accepts of messages with one question, several, and none.
func TestFilter(t *testing.T) {
	skip, allow := domainList(t, "skip.example,suffix\nboth.example"), domainList(t, "allow.example,suffix\nboth.example")
	f := func(kind Type, want string, skipped uint64) {
		t.Helper()
		var got []string
		out := &fake{write: func(_ context.Context, b *event.Block) (int, error) {
			got = append(got, rowNames(b))
			return 0, nil
		}}
		set := quick(1, 0)
		set.Type, set.Skip, set.Allow = kind, skip, allow
		r := testRunner(t, out, set, false, nil)
		r.Start(context.Background())
		in := r.Intake()
		events := []*event.Event{
			queryFor("a.skip.example."), queryFor("A.Allow.EXAMPLE."), queryFor("both.example."), queryFor("other.example."), queryFor("notskip.example."), queryFor("."), queryFor(),
			queryFor("skip.example.", "other.example.", "allow.example."), queryFor("skip.example.", "skip.example."),
		}
		for _, e := range events {
			in.Offer(e)
			if e.Selected != nil {
				t.Errorf("type %d: the selection stays in the event", kind)
			}
		}
		in.Flush()
		r.Stop(context.Background())
		if s := strings.Join(got, " "); s != want {
			t.Errorf("type %d:\n%s\nwant\n%s", kind, s, want)
		}
		l := r.Ledger(func() uint64 { return uint64(len(events)) })
		if l.Unaccounted() != 0 || l.Outcomes[1].Name != "skipped" || l.Outcomes[1].Value != skipped {
			t.Errorf("type %d: the ledgers say %+v, want %d skipped", kind, l, skipped)
		}
	}
	f(All, "a.skip.example. A.Allow.EXAMPLE. both.example. other.example. notskip.example. . - skip.example.,other.example.,allow.example. skip.example.,skip.example.", 0)
	f(Skip, "A.Allow.EXAMPLE. other.example. notskip.example. . - other.example.,allow.example.", 3)
	f(Allow, "A.Allow.EXAMPLE. both.example. allow.example.", 6)
	f(SkipAndAllow, "A.Allow.EXAMPLE. allow.example.", 7)
}

// TestAllSkipped: the ledger balances although no block was ever handed over.
func TestAllSkipped(t *testing.T) {
	set := quick(1, 0)
	set.Type, set.Allow = Allow, domainList(t, "allow.example")
	r := testRunner(t, &fake{}, set, false, nil)
	r.Start(context.Background())
	in := r.Intake()
	for range 3 {
		in.Offer(queryFor("other.example."))
	}
	in.Flush()
	r.Stop(context.Background())
	checkLedger(t, r, 3, "skipped 3, delivered 0")
}

// TestSetFilter changes what is accepted from then on, and refuses invalid filters.
func TestSetFilter(t *testing.T) {
	var got atomic.Uint64
	out := &fake{write: func(_ context.Context, b *event.Block) (int, error) {
		got.Add(uint64(b.Len()))
		return 0, nil
	}}
	r := testRunner(t, out, quick(1, 0), false, nil)
	r.Start(context.Background())
	in := r.Intake()
	in.Offer(queryFor("skip.example."))
	if err := r.SetFilter(Filter{Type: Skip}); err == nil || !strings.Contains(err.Error(), "--skipdomainsfile") {
		t.Errorf("a type that needs a list: error %v", err)
	}
	if err := r.SetFilter(Filter{Type: Off}); err == nil {
		t.Error("a filter can switch an output off")
	}
	if err := r.SetFilter(Filter{Type: Skip, Skip: domainList(t, "skip.example")}); err != nil {
		t.Fatal(err)
	}
	in.Offer(queryFor("skip.example."))
	in.Offer(queryFor("other.example."))
	in.Flush()
	r.Stop(context.Background())
	checkLedger(t, r, 3, "delivered 2, skipped 1")
	if got.Load() != 2 {
		t.Errorf("%d events, want 2", got.Load())
	}
}

func TestFilterDoesNotAllocate(t *testing.T) {
	set := quick(1, 0)
	set.Type, set.Skip, set.Allow = SkipAndAllow, domainList(t, "skip.example,suffix"), domainList(t, "example,suffix\nwww,prefix")
	r := testRunner(t, &fake{}, set, false, nil)
	in := r.Intake()
	one, several := queryFor("www.Other.example."), queryFor("skip.example.", "other.example.", "www.org.")
	run := func() {
		in.accepts(one)
		in.accepts(several)
		several.Selected = nil
	}
	run()
	if n := testing.AllocsPerRun(1000, run); n != 0 {
		t.Errorf("the filter allocates %v times, want 0", n)
	}
}

// BenchmarkFilter offers what resolvers ask an authority for, a few names much more often
// than the others, to an output with lists: none; one with two entries; one with a million,
// none of which match; and one that also has half of the names.
func BenchmarkFilter(b *testing.B) {
	const names = 50_000
	r := rand.New(rand.NewPCG(1, 2))
	events := make([]*event.Event, 4*names)
	for i := range events {
		x := r.Float64()
		name := fmt.Sprintf("host%x.example.org.", int(names*x*x*x))
		switch y := r.IntN(100); {
		case y < 8:
			name = fmt.Sprintf("nx%d.%s", r.IntN(1e6), name)
		case y < 12:
			name = fmt.Sprintf("no-such-%d.example.org.", r.IntN(1e6))
		}
		if r.IntN(3) == 0 {
			name = strings.ToUpper(name)
		}
		events[i] = queryFor(name)
	}
	var million, asked strings.Builder
	for i := range 1_000_000 {
		fmt.Fprintf(&million, "tracker-%d.example.com,suffix\n", i)
	}
	for i := 0; i < names; i += 2 {
		fmt.Fprintf(&asked, "host%x.example.org,suffix\n", i)
	}
	for _, c := range []struct {
		name string
		kind Type
		skip string
	}{
		{"none", All, ""},
		{"two", Skip, "example.com,suffix\nexample.net,suffix\n"},
		{"million", Skip, million.String()},
		{"million-and-asked", Skip, million.String() + asked.String()},
	} {
		b.Run("list="+c.name, func(b *testing.B) {
			set := quick(1, 0)
			set.Type, set.Skip = c.kind, domainList(b, c.skip)
			in := testRunner(b, &fake{}, set, false, nil).Intake()
			skipped := 0
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if !in.accepts(events[i%len(events)]) {
					skipped++
				}
			}
			b.ReportMetric(float64(skipped)/float64(b.N), "skipped/op")
		})
	}
}
