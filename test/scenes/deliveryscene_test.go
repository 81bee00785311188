//go:build linux

package scenes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/outputs/spool"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// deliveryScene is a table in a real PostgreSQL behind a proxy, a spool, and a sensor that
// sees queries for h0, h1, ... example.org, each once: the names in the rows show what is
// missing or repeated.
type deliveryScene struct {
	t      *testing.T
	server *lab.Postgres
	proxy  *lab.Proxy
	spool  string
	table  string
	url    string
	hosts  *lab.Lab // of live scenes
	asked  int      // queries that sensors were sent so far
	sensor *program.Process
}

var sceneNumber atomic.Int32

func newDeliveryScene(t *testing.T, server *lab.Postgres) *deliveryScene {
	t.Helper()
	s := &deliveryScene{t: t, server: server, proxy: lab.StartProxy(t, server.Addr), spool: t.TempDir(), table: fmt.Sprintf("scene%d", sceneNumber.Add(1))}
	s.url = server.URL(s.proxy.Addr, "postgres")
	s.makeTable()
	return s
}

// makeTable makes the table, with a column n for the order of rows.
func (s *deliveryScene) makeTable() {
	s.t.Helper()
	out, err := program.Command(nil, "postgres", "init", "--psqlendpoint="+s.server.URL(s.server.Addr, "postgres"), "--psqltable="+s.table).CombinedOutput()
	if err != nil {
		s.t.Fatalf("postgres init: %v\n%s", err, out)
	}
	s.server.Exec(s.t, "ALTER TABLE "+s.table+" ADD COLUMN n bigserial")
}

// options are common to all sensors of the scene.
func (s *deliveryScene) options(more []string) []string {
	return append([]string{
		"--workers=1", "--psqloutputtype=1", "--psqlendpoint=" + s.url, "--psqltable=" + s.table, "--psqlbatchsize=100",
		"--spooldir=" + s.spool, "--spoolfreemb=0", "--grace=1s", "--stats=100ms", "--metricflushinterval=100ms",
	}, more...)
}

// replay starts a sensor that reads the next n queries from a file.
func (s *deliveryScene) replay(n int, more ...string) {
	s.t.Helper()
	file := packets.TempFile(s.t, packets.QueriesFrom(s.asked, n))
	s.asked += n
	s.sensor = program.Start(s.t, nil, append([]string{"replay", file}, s.options(more)...)...)
}

// makeHosts makes the hosts of a live scene, and a socket through which they reach the
// server.
func (s *deliveryScene) makeHosts() {
	s.t.Helper()
	if s.hosts != nil {
		return
	}
	s.hosts = lab.New(s.t)
	s.hosts.Server.Sink(s.t, 53)
	dir, err := os.MkdirTemp("", "stage") // the path of a socket must be short
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { os.RemoveAll(dir) })
	s.proxy.Socket(filepath.Join(dir, ".s.PGSQL.5432"))
	s.url = "postgres://postgres@/postgres?host=" + dir + "&port=5432&sslmode=disable"
}

// capture starts a sensor on the interface of the host that sendQueries sends to.
func (s *deliveryScene) capture(more ...string) {
	s.t.Helper()
	s.makeHosts()
	s.sensor = program.Attach(s.t, s.hosts.Server, s.options(append(more, "--ringmb=64"))...) // large enough to lose nothing on a busy machine
}

// sendQueries sends the next n queries past the sensor.
func (s *deliveryScene) sendQueries(n, rate int) {
	s.t.Helper()
	s.startQueries(n, rate)()
}

// startQueries does so in the background; wait waits for the end.
func (s *deliveryScene) startQueries(n, rate int) (wait func()) {
	var qs []lab.Query
	for i := range n {
		qs = append(qs, lab.Query{Name: fmt.Sprintf("h%d.example.org", s.asked+i), Type: "A"})
	}
	s.asked += n
	f := lab.Flow{From: s.hosts.Client, To: netip.AddrPortFrom(s.hosts.Server.V4, 53), Messages: lab.Messages(qs), Rate: rate, Count: n}
	sent := make(chan error, 1)
	go func() {
		_, err := f.Send(context.Background())
		sent <- err
	}()
	return func() {
		s.t.Helper()
		if err := <-sent; err != nil {
			s.t.Fatal(err)
		}
	}
}

// serverDown closes all connections, and refuses new ones.
func (s *deliveryScene) serverDown() { s.proxy.Down() }

func (s *deliveryScene) serverUp() {
	s.t.Helper()
	s.proxy.Up()
}

// slowDown limits the bandwidth, so that there is time to do something in the middle of a
// batch.
func (s *deliveryScene) slowDown() (restore func()) {
	s.t.Helper()
	return s.proxy.AddFault(lab.Requests, "bandwidth", map[string]any{"rate": 40}) // KB/s
}

// waitForLog waits for the sensor to log a text.
func (s *deliveryScene) waitForLog(text string) {
	s.t.Helper()
	s.sensor.WaitFor(text)
}

// waitUntilDelivered waits until the sensor holds nothing.
func (s *deliveryScene) waitUntilDelivered() {
	s.t.Helper()
	s.waitUntil("nothing held", func() bool {
		lines := program.ParseStats(s.sensor.Log())
		return len(lines) > 0 && lines[len(lines)-1].Waiting == 0
	})
}

func cutLast(text, sep string) (before, after string, found bool) {
	i := strings.LastIndex(text, sep)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(sep):], true
}

// timesLogged is how often the sensor has logged a text.
func (s *deliveryScene) timesLogged(text string) int { return strings.Count(s.sensor.Log(), text) }

func (s *deliveryScene) waitUntil(what string, ok func() bool) {
	s.t.Helper()
	if !await.Within(await.Limit, ok) {
		s.t.Fatalf("not within %s: %s\n%s", await.Limit, what, s.sensor.Log())
	}
}

// waitForRows waits until there are more rows than now.
func (s *deliveryScene) waitForRows() {
	s.t.Helper()
	before := s.rows()
	s.waitUntil("more rows", func() bool { return s.rows() > before })
}

// waitForUnacknowledgedRows waits, while answers are held back, until the table has rows
// whose acknowledgement the sensor lacks.
func (s *deliveryScene) waitForUnacknowledgedRows() {
	s.t.Helper()
	s.waitUntil("rows without an acknowledgement", func() bool {
		s.sensor.WaitForCount(" metrics: ", s.timesLogged(" metrics: ")+2) // these count all earlier answers
		return s.rows() > s.delivered()
	})
}

// delivered is the number of delivered records in the last line of metrics.
func (s *deliveryScene) delivered() int {
	s.t.Helper()
	_, last, _ := cutLast(s.sensor.Log(), " metrics: ")
	_, value, found := strings.Cut(last, `outcome=\"delivered\",part=\"psql\"}":{"count":`)
	n, err := strconv.Atoi(value[:max(strings.IndexByte(value, '}'), 0)])
	if !found || err != nil {
		s.t.Fatalf("no number of delivered records (%v):\n%s", err, last)
	}
	return n
}

func (s *deliveryScene) rows() int {
	s.t.Helper()
	return s.server.Int(s.t, "SELECT count(*) FROM "+s.table)
}

// waitForBatch waits until the server is receiving a batch.
func (s *deliveryScene) waitForBatch() {
	s.t.Helper()
	busy := fmt.Sprintf("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%%COPY \"%s\"%%' AND pid <> pg_backend_pid()", s.table)
	s.waitUntil("a batch under way", func() bool { return s.server.Int(s.t, busy) > 0 })
}

// onDisk is the number of events in the spool.
func (s *deliveryScene) onDisk() uint64 {
	s.t.Helper()
	info, err := spool.Inspect(filepath.Join(s.spool, "psql"), nil)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // not created yet: no events
		s.t.Fatal(err)
	}
	return info.Events
}

// waitForEnd waits until the sensor ends by itself.
func (s *deliveryScene) waitForEnd(code int) program.Result {
	s.t.Helper()
	r := s.sensor.Wait(time.Minute)
	r.Expect(s.t, code)
	return r
}

// stop sends SIGTERM.
func (s *deliveryScene) stop(code int) program.Result {
	s.t.Helper()
	r := s.sensor.Stop()
	r.Expect(s.t, code)
	return r
}

// kill sends SIGKILL.
func (s *deliveryScene) kill() {
	s.t.Helper()
	s.sensor.Cmd.Process.Signal(syscall.SIGKILL)
	<-s.sensor.Done
}

// names returns the questions of all rows, in the order of writing.
func (s *deliveryScene) names() []string {
	s.t.Helper()
	return s.server.Strings(s.t, "SELECT question FROM "+s.table+" ORDER BY n")
}

// expectAllRows expects each query as one row, in order, and an empty spool.
func (s *deliveryScene) expectAllRows() {
	s.t.Helper()
	names := s.names()
	for i, name := range names {
		if want := fmt.Sprintf("h%d.example.org.", i); name != want {
			s.t.Fatalf("row %d is of %s, want %s; %d rows, %d queries:\n%s", i, name, want, len(names), s.asked, s.sensor.Log())
		}
	}
	if len(names) != s.asked {
		s.t.Errorf("%d rows, want %d:\n%s", len(names), s.asked, s.sensor.Log())
	}
	if left, _ := filepath.Glob(filepath.Join(s.spool, "psql", "*.*")); len(left) > 0 {
		s.t.Errorf("all is delivered, but there is %v", left)
	}
}

// expectNoRepeats expects the rows in order, without repeats and without queries that were
// not sent. It returns how many are missing.
func (s *deliveryScene) expectNoRepeats() (missing int) {
	s.t.Helper()
	last := -1
	names := s.names()
	for _, name := range names {
		var i int
		if _, err := fmt.Sscanf(name, "h%d.example.org.", &i); err != nil || i <= last || i >= s.asked {
			s.t.Fatalf("%s comes after h%d; %d queries were sent:\n%s", name, last, s.asked, s.sensor.Log())
		}
		last = i
	}
	return s.asked - len(names)
}

// expectOnce expects each text once in the log, whatever the number of attempts.
func (s *deliveryScene) expectOnce(texts ...string) {
	s.t.Helper()
	for _, text := range texts {
		if n := s.timesLogged(text); n != 1 {
			s.t.Errorf("%q is logged %d times, want once:\n%s", text, n, s.sensor.Log())
		}
	}
}

// metric returns a meter of the psql output in the last line of metrics.
func (s *deliveryScene) metric(name string) string {
	s.t.Helper()
	_, last, found := cutLast(s.sensor.Log(), " metrics: ")
	if !found {
		s.t.Fatalf("no metrics:\n%s", s.sensor.Log())
	}
	_, value, _ := strings.Cut(last, `meter=\"`+name+`\",part=\"psql\"}":{"count":`)
	value, _, _ = strings.Cut(value, "}")
	return value
}
