//go:build linux

package scenes

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// clickhouseScene is a database with the tables of `clickhouse init`, a proxy in front of
// its server, a spool, and a sensor that sees queries for h0, h1, ... example.org, each
// once.
type clickhouseScene struct {
	t        *testing.T
	server   *lab.ChDB
	proxy    *lab.Proxy
	spool    string
	database string
	asked    int
	sensor   *program.Process
}

func newClickhouseScene(t *testing.T, server *lab.ChDB) *clickhouseScene {
	t.Helper()
	s := &clickhouseScene{t: t, server: server, proxy: lab.StartProxy(t, server.Addr), spool: t.TempDir(), database: fmt.Sprintf("scene%d", sceneNumber.Add(1))}
	program.Output(t, program.ExitOK, "", "clickhouse", "init", "--clickhouseaddress="+server.Addr, "--clickhousedatabase="+s.database, "--ttl=0") // the queries are old
	return s
}

func (s *clickhouseScene) options(more ...string) []string {
	return append([]string{
		"--workers=1", "--clickhouseoutputtype=1", "--clickhouseaddress=" + s.proxy.Addr, "--clickhousedatabase=" + s.database,
		"--spooldir=" + s.spool, "--spoolfreemb=0", "--grace=1s", "--stats=100ms", "--metricflushinterval=100ms",
	}, more...)
}

// replay starts a sensor that reads the next n queries from a file.
func (s *clickhouseScene) replay(n int, more ...string) {
	s.t.Helper()
	file := packets.TempFile(s.t, packets.QueriesFrom(s.asked, n))
	s.asked += n
	s.sensor = program.Start(s.t, nil, append([]string{"replay", file}, s.options(more...)...)...)
}

func (s *clickhouseScene) rows() int {
	s.t.Helper()
	return s.server.Int(s.t, "SELECT count() FROM "+s.database+".DNS_LOG")
}

func (s *clickhouseScene) waitUntil(what string, ok func() bool) {
	s.t.Helper()
	if !await.Within(await.Limit, ok) {
		s.t.Fatalf("not within %s: %s\n%s", await.Limit, what, s.sensor.Log())
	}
}

// waitForEnd waits until the sensor ends by itself.
func (s *clickhouseScene) waitForEnd(code int) program.Result {
	s.t.Helper()
	r := s.sensor.Wait(2 * time.Minute)
	r.Expect(s.t, code)
	return r
}

// expectAll expects each query once: as a row, and in each of the aggregates. missing is how
// many of them an aggregate may lack.
func (s *clickhouseScene) expectAll(missing int) {
	s.t.Helper()
	got := s.server.Query(s.t, "SELECT count(), uniqExact(Question), countIf(toUInt32OrZero(substring(splitByChar('.', Question)[1], 2)) < "+fmt.Sprint(s.asked)+") FROM "+s.database+".DNS_LOG")
	if want := fmt.Sprintf("[%d %[1]d %[1]d]", s.asked); fmt.Sprint(got[0]) != want {
		s.t.Errorf("rows, names, and those that were asked for: %v, want %s", got[0], want)
	}
	compared := 0
	for _, row := range s.server.Query(s.t, "SELECT table FROM system.columns WHERE database = '"+s.database+"' AND name = 'w' AND table NOT LIKE '%_MV'") {
		if row[0] == "DNS_RESPONSECODE" {
			continue
		}
		compared++
		if c := s.server.Int(s.t, "SELECT sum(c) FROM "+s.database+"."+row[0]); c > s.asked || c < s.asked-missing {
			s.t.Errorf("%s counts %d, want %d", row[0], c, s.asked)
		}
		if w := s.server.Int(s.t, "SELECT sum(w) FROM "+s.database+"."+row[0]); w > s.asked || w < s.asked-missing {
			s.t.Errorf("%s weighs %d, want %d", row[0], w, s.asked)
		}
	}
	if compared != 9 {
		s.t.Errorf("%d aggregates, want 9", compared)
	}
	if left, _ := filepath.Glob(filepath.Join(s.spool, "clickhouse", "*.*")); len(left) > 0 {
		s.t.Errorf("all is delivered, but there is %v", left)
	}
	if s.t.Failed() {
		s.t.Log(s.sensor.Log())
	}
}
