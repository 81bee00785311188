//go:build linux

package scenes

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
)

// served is a server under load: what it counts, and what clients have asked.
type served struct {
	*lab.DnstapServer
	name     string
	counters []string // whose sum is the number of queries that it has received; nil: those that the lab knows
	before   uint64
	loads    []lab.Perf
	results  []lab.PerfResult
}

func (s *served) queries() (sum uint64) {
	if s.counters == nil {
		return s.Queries()
	}
	all := s.Counters()
	for _, name := range s.counters {
		sum += all[name]
	}
	return sum
}

// load asks the server over UDP and IPv4, and over TCP and IPv6.
func (s *served) load(t *testing.T, l *lab.Lab, z lab.Zone) {
	t.Helper()
	s.before = s.queries()
	for i, p := range []lab.Perf{{}, {V6: true, TCP: true}} {
		p.Queries, p.Port = z.Queries(500, uint64(s.Addr.Port())+uint64(i)), s.Addr.Port()
		p.Options = []string{"-c", "4"} // a server has few connections at a time
		p.Rate, p.Seconds = tier.Length(300, 600), tier.Length(1, 3)
		s.loads, s.results = append(s.loads, p), append(s.results, lab.PerfResult{})
	}
	atOnce(t, []int{0, 1}, func(i int) {
		var err error
		if s.results[i], err = l.Dnsperf(context.Background(), s.loads[i]); err != nil {
			t.Fatal(err)
		}
	})
}

// passed is what a record says of a message.
type passed struct {
	DNS struct {
		Response bool
		Rcode    int
		Question []struct {
			Name  string
			Qtype uint16
		}
	}
	Protocol, Direction string
	SrcPort, DstPort    uint16
}

// readPassed reads a file of records.
func readPassed(t *testing.T, path string) (all []passed) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var r passed
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// check compares records with what the clients have asked, what they were answered, and
// what the server counts.
func (s *served) check(t *testing.T, all []passed) {
	t.Helper()
	asked, rcodes := make(map[string]int), make(map[string]uint64)
	var queries, responses, lost, answered uint64
	for i, p := range s.loads {
		protocol := []string{"udp", "tcp"}[i]
		for n := range p.Rate * p.Seconds {
			q := p.Queries[n%len(p.Queries)]
			asked[fmt.Sprintf("%s %s. %s", protocol, q.Name, q.Type)]++
		}
		lost, answered = lost+s.results[i].Lost, answered+s.results[i].Completed
		for name, n := range s.results[i].Rcodes {
			rcodes[name] += n
		}
	}
	port := s.Addr.Port()
	for _, r := range all {
		if len(r.DNS.Question) != 1 || strings.HasPrefix(r.DNS.Question[0].Name, "ns1.") {
			continue // whether the server runs
		}
		switch {
		case r.DstPort == port && !r.DNS.Response && r.Direction == "in":
			queries++
			asked[r.Protocol+" "+r.DNS.Question[0].Name+" "+dns.TypeToString[r.DNS.Question[0].Qtype]]--
		case r.SrcPort == port && r.DNS.Response && r.Direction == "out":
			responses++
			rcodes[dns.RcodeToString[r.DNS.Rcode]]--
		case r.SrcPort == port || r.DstPort == port:
			t.Errorf("%s: a record of %+v", s.name, r)
		}
	}
	for what, n := range asked {
		if n != 0 {
			t.Errorf("%s: %q was asked %d times more than is recorded", s.name, what, n)
		}
	}
	counted := s.queries() - s.before
	if queries != counted && lost == 0 {
		t.Errorf("%s: %d queries recorded, it counts %d", s.name, queries, counted)
	}
	if responses < answered || responses > answered+lost {
		t.Errorf("%s: %d responses recorded, the clients had %d, and %d too late", s.name, responses, answered, lost)
	}
	for code, n := range rcodes {
		if n != 0 && lost == 0 {
			t.Errorf("%s: the clients had %d responses more of %s than are recorded", s.name, int64(n), code)
		}
	}
	t.Logf("%s: %d queries, %d responses; it counts %d, the clients lost %d", s.name, queries, responses, counted, lost)
}

// TestServersInEveryMode: of real servers under load, what is recorded is what was asked,
// what the servers count, and what they have answered, in every mode.
func TestServersInEveryMode(t *testing.T) {
	t.Parallel()
	lab.Need(t, "dnsperf")
	l, z := lab.New(t), lab.Zone{Names: 200}
	kinds := map[string][]string{"knot": nil}
	if tier.Full() {
		kinds = map[string][]string{"knot": nil, "unbound": nil, "named": nil, "dnsdist": nil, "recursor": {"questions"}}
		lab.StartDnstap(t, l, "knot", lab.DnstapOptions{Zone: z, Lines: []string{"knot.off"}}) // the others ask it
	}
	var servers []*served
	var ports []string
	for name, counters := range kinds {
		o := lab.DnstapOptions{Zone: z}
		if name == "knot" {
			o.Port, o.Lines = knotPort, []string{"knot.off"}
		}
		s := &served{DnstapServer: lab.StartDnstap(t, l, name, o), name: name, counters: counters}
		servers, ports = append(servers, s), append(ports, strconv.Itoa(int(s.Addr.Port())))
	}
	ways := everyWay()
	list := observe(t, l, ways, "--ringmb=64", "--queuemb=256", "--port="+strings.Join(ports, ","))
	atOnce(t, servers, func(s *served) { s.load(t, l, z) })
	records := stopAll(t, list)
	expectAllSame(t, list, records)

	all := readPassed(t, list[0].RecordsFile)
	for _, s := range servers {
		s.check(t, all)
	}
}
