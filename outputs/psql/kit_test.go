//go:build linux

package psql

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/test/testlog"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// Servers for all tests of this package that do not stop them. Each starts with the first
// test that needs it; TestMain stops them.
var (
	mainServer sharedServer
	tlsServer  = sharedServer{setUp: func(t testing.TB, p *lab.Postgres) {
		authority = lab.NewAuthority(&packageTB)
		p.UseTLS(t, authority)
	}}

	// authority signed the certificate of tlsServer.
	authority *lab.Authority
)

func postgres(t testing.TB) *lab.Postgres { return mainServer.get(t) }
func second(t testing.TB) *lab.Postgres   { return tlsServer.get(t) }

type sharedServer struct {
	p     *lab.Postgres
	setUp func(t testing.TB, p *lab.Postgres) // nil: nothing to do
}

// get starts the server unless it runs.
func (s *sharedServer) get(t testing.TB) *lab.Postgres {
	packageTB.mu.Lock()
	defer packageTB.mu.Unlock()
	if s.p == nil {
		packageTB.TB = t
		s.p = lab.StartPostgres(&packageTB)
		if s.setUp != nil {
			s.setUp(t, s.p)
		}
	}
	return s.p
}

// packageTB lives as long as the package's tests: TestMain runs its cleanup.
var packageTB lifetimeTB

type lifetimeTB struct {
	testing.TB
	mu      sync.Mutex
	cleanup []func()
}

func (l *lifetimeTB) Cleanup(f func()) { l.cleanup = append(l.cleanup, f) }

func TestMain(m *testing.M) {
	code := m.Run()
	for _, f := range slices.Backward(packageTB.cleanup) {
		f()
	}
	os.Exit(code)
}

var tables atomic.Int64 // names given so far

func newTable() string { return fmt.Sprintf("dns_log_%d", tables.Add(1)) }

// wantNames checks that a table has one row for each of n queries, and no others.
func wantNames(t *testing.T, p *lab.Postgres, table string, first, n int) {
	t.Helper()
	got := make(map[string]int)
	for _, q := range p.Strings(t, "SELECT question FROM "+table+fmt.Sprintf(" WHERE question >= '%s'", outputtest.QueryName(first))) {
		got[q]++
	}
	wrong := 0
	for i := range n {
		if got[outputtest.QueryName(first+i)] != 1 {
			wrong++
			if wrong <= 3 {
				t.Errorf("%s: %d times in %s, want 1", outputtest.QueryName(first+i), got[outputtest.QueryName(first+i)], table)
			}
		}
	}
	if wrong > 3 || len(got) != n {
		t.Errorf("%d of %d wrong, %d different rows", wrong, n, len(got))
	}
}

// scene is a runner with an output that has a table of its own.
type scene struct {
	t   *testing.T
	r   *outputs.Runner
	in  *outputs.Intake
	n   int
	log *testlog.Log
}

func newScene(t *testing.T, o *Output, workers, batch int) *scene {
	t.Helper()
	s := &scene{t: t, log: logTo(o)}
	set, err := o.Settings()
	if err != nil {
		t.Fatal(err)
	}
	set.Workers, set.BatchSize, set.Grow = workers, batch, false
	set.RetryFirst, set.RetryMax = 5*time.Millisecond, 50*time.Millisecond
	if s.r, err = outputs.NewRunner(o, set, false, event.NewIDs(), account.NewDeliveryCounters(), o.Log()); err != nil {
		t.Fatal(err)
	}
	s.r.Start(context.Background())
	s.in = s.r.Intake()
	return s
}

// offer gives the runner n more queries.
func (s *scene) offer(n int) {
	for range n {
		s.in.Offer(outputtest.Query(s.n))
		s.n++
	}
	s.in.Flush()
}

// end stops the runner and checks that its ledger balances: all queries are delivered
// except those that the table refuses.
func (s *scene) end(refused uint64) {
	s.t.Helper()
	grace, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s.r.Stop(grace)
	l := s.r.Ledger(func() uint64 { return uint64(s.n) })
	if l.Unaccounted() != 0 || l.Held != 0 {
		s.t.Errorf("%d unaccounted, %d held: %+v", l.Unaccounted(), l.Held, l)
	}
	for _, o := range l.Outcomes {
		want := map[string]uint64{"delivered": uint64(s.n) - refused, "refused": refused}[o.Name]
		if o.Value != want {
			s.t.Errorf("%s %d, want %d\n%s", o.Name, o.Value, want, s.log)
		}
	}
}

// retries is the number of failed attempts.
func (s *scene) retries() uint64 {
	for _, m := range s.r.Ledger(func() uint64 { return 0 }).Meters {
		if m.Name == "retries" {
			return m.Value
		}
	}
	panic("no meter of retries")
}

// meter returns one of the output's meters.
func meter(o *Output, name string) uint64 {
	for _, m := range o.Meters() {
		if m.Name == name {
			return m.Value
		}
	}
	panic("no meter " + name)
}

// oids are the types of our own tables.
var oids = map[string]uint32{"timestamptz": oidTimestampTZ, "inet": oidInet, "integer": oidInt4, "text": oidText}

// columnNamed is a column of ours, with any type.
func columnNamed(name string, oid uint32) column {
	c := column{name: name, oid: oid}
	c.setField(&fields[slices.IndexFunc(fields, func(f field) bool { return f.Name == name })])
	return c
}
