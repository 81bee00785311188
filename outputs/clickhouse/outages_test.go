//go:build linux

package clickhouse

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/test/testlog"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// TestClusterOutages writes to a cluster all the time while a replica dies and returns,
// ZooKeeper is away, and a whole shard is. Each row is stored once.
func TestClusterOutages(t *testing.T) {
	if !tier.Full() {
		t.Skip(tier.LeftTo + "test-all: a cluster of four servers, and outages of seconds")
	}
	t.Parallel()
	clusterOutages(t, 3*time.Second)
}

// TestSoakClusterOutages does so with outages of a minute.
func TestSoakClusterOutages(t *testing.T) {
	tier.ByHand(t, tier.Soak)
	clusterOutages(t, time.Minute)
}

func clusterOutages(t *testing.T, length time.Duration) {
	c := lab.StartCluster18(t)
	c.Exec(t, lab.Tables18(c.Name, false)...)
	s := &scene{t: t, c: c, length: length}
	s.start()
	one, two, zk := c.Shards[0][0], c.Shards[0][1], c.ZooKeeper
	s.outage("a replica is dead", func() { one.Kill() }, func() { one.Start(t) }, goesOn)
	s.outage("ZooKeeper is away", zk.Kill, func() { zk.Start(t) }, stops)
	zk.Kill()
	zk.Start(t)
	s.progress("ZooKeeper was restarted")
	s.outage("a shard is away", func() { one.Kill(); two.Kill() }, func() { one.Start(t); two.Start(t) }, goesOn)
	s.outage("the other replica is dead", two.Kill, func() { two.Start(t) }, goesOn)
	s.stop()
	s.check()
}

const (
	outagesOfScene = 5
	workersOfScene = 2
	batchOfScene   = 1000
)

// scene is an output that writes all the time.
type scene struct {
	t      *testing.T
	c      *lab.Cluster18
	length time.Duration
	log    testlog.Log
	runner *outputs.Runner
	ending chan struct{}
	all    sync.WaitGroup
	made   int // events
}

func (s *scene) start() {
	args := []string{"--clickhousecluster=" + s.c.Name, "--clickhousedatabase=dns", fmt.Sprintf("--clickhouseworkers=%d", workersOfScene)}
	for _, r := range s.c.Replicas() {
		args = append(args, "--clickhouseaddress="+r.Addr)
	}
	o := newOutput(s.t, args...)
	if err := o.Check(attempt(s.t)); err != nil {
		s.t.Fatal(err)
	}
	set, err := o.Settings()
	if err != nil {
		s.t.Fatal(err)
	}
	// Few blocks: the servers keep a folder for each, which must be removed afterwards.
	set.BatchSize, set.BatchDelay, set.RetryMax, set.QueueEvents = batchOfScene, 300*time.Millisecond, time.Second, 5000
	if s.runner, err = outputs.NewRunner(o, set, false, event.NewIDs(), account.NewDeliveryCounters(), slog.New(slog.NewTextHandler(&s.log, nil))); err != nil {
		s.t.Fatal(err)
	}
	s.runner.Start(context.Background())
	s.ending = make(chan struct{})
	s.all.Go(s.offer)
	s.progress("all is well")
}

// offer offers a few thousand events per second. A queue that is full makes it wait.
func (s *scene) offer() {
	in := s.runner.Intake()
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for {
		select {
		case <-s.ending:
			in.Flush()
			return
		case <-time.After(10 * time.Millisecond):
		}
		for range 30 {
			in.Offer(named(sceneName(s.made), begin.Add(time.Duration(s.made)*time.Millisecond)))
			s.made++
		}
		in.Tick(time.Now())
	}
}

func sceneName(i int) string { return fmt.Sprintf("n%d.example.org.", i) }

// named is a query for a name.
func named(name string, at time.Time) *event.Event {
	m := new(mdns.Msg)
	m.SetQuestion(name, mdns.TypeA)
	wire, err := m.Pack()
	if err != nil {
		panic(err)
	}
	e := &event.Event{
		Time: at.UnixNano(), Proto: event.UDP, Message: wire,
		Src: netip.MustParseAddrPort("192.0.2.1:40000"), Dst: netip.MustParseAddrPort("192.0.2.53:53"),
	}
	dns.Read(wire, false, &e.DNS)
	return e
}

// stored is how many rows the shards have, as far as their servers run. Of replicas the one
// counts that has more.
func (s *scene) stored() (n int) {
	for _, shard := range s.c.Shards {
		most := 0
		for _, r := range shard {
			rows, err := r.Try("SELECT count() FROM dns.DNS_LOG_LOCAL")
			if err == nil {
				var k int
				fmt.Sscan(rows[0][0], &k)
				most = max(most, k)
			}
		}
		n += most
	}
	return n
}

// progress waits until rows are stored that were made from now on.
func (s *scene) progress(when string) {
	s.t.Helper()
	begin, before := time.Now(), s.stored()
	await.True(s.t, "rows are stored: "+when, func() bool { return s.stored() > before+2000 }, &s.log)
	s.t.Logf("%s: 2000 rows are stored after %v", when, time.Since(begin).Round(time.Millisecond))
}

// meanwhile is what writing does during an outage.
type meanwhile int

const (
	goesOn meanwhile = iota
	stops
)

// outage begins one, lets it last, and ends it.
func (s *scene) outage(what string, begin, end func(), m meanwhile) {
	s.t.Helper()
	begin()
	if m == goesOn {
		s.progress(what)
	}
	const last = 500 * time.Millisecond // for answers that are under way
	time.Sleep(last)
	before := s.stored()
	time.Sleep(s.length - last)
	n := s.stored() - before
	if s.t.Logf("%s: %d rows in %v", what, n, s.length-last); m == stops && n > 0 || m == goesOn && n == 0 {
		s.t.Errorf("%s: %d rows are stored", what, n)
	}
	end()
	s.progress(what + ", and returns")
}

func (s *scene) stop() {
	close(s.ending)
	s.all.Wait()
	grace, cancel := context.WithTimeout(context.Background(), await.Limit)
	defer cancel()
	s.runner.Stop(grace)
	ledger := s.runner.Ledger(func() uint64 { return uint64(s.made) })
	s.t.Logf("%+v", ledger)
	if ledger.Unaccounted() != 0 || ledger.Held != 0 {
		s.t.Errorf("%d unaccounted, %d held", ledger.Unaccounted(), ledger.Held)
	}
	for _, o := range ledger.Outcomes {
		if want := uint64(s.made); o.Name == "delivered" && o.Value != want || o.Name != "delivered" && o.Value != 0 {
			s.t.Errorf("%s: %d of %d events", o.Name, o.Value, want)
		}
	}
	begin := time.Now()
	s.c.Settle(s.t)
	s.t.Logf("all replicas have all rows after %v", time.Since(begin).Round(time.Millisecond))
}

// check compares the names with those that were made, as each server sees them.
func (s *scene) check() {
	for _, r := range s.c.Replicas() {
		got := make(map[string]int)
		for _, row := range r.Query(s.t, "SELECT Question FROM dns.DNS_LOG") {
			got[row[0]]++
		}
		lost, twice := 0, 0
		for i := range s.made {
			switch name := sceneName(i); got[name] {
			case 0:
				lost++
			case 1:
			default:
				twice++
			}
		}
		counted := r.Int(s.t, "SELECT sum(c) FROM dns.DNS_TYPE")
		s.t.Logf("%s: %d names, the view has counted %d", r.Addr, len(got), counted)
		if lost+twice > 0 || len(got) != s.made {
			s.t.Errorf("%s: of %d rows %d are lost, %d are there more than once; there are %d names\n%s", r.Addr, s.made, lost, twice, len(got), &s.log)
		}
		// A server of 2018 that loses ZooKeeper between the log and its views does not make
		// up for it: it recognises the repeated block. It counts nothing twice, and lacks at
		// most what the workers were writing when an outage began.
		if most := outagesOfScene * workersOfScene * batchOfScene; counted > s.made || counted < s.made-most {
			s.t.Errorf("%s: the view has counted %d of %d rows", r.Addr, counted, s.made)
		}
	}
}
