//go:build linux

package schema

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"dnsmonster-sensor/test/lab"
)

// server runs statements for a test. Answers are lines of values between tabs.
type server struct {
	t *testing.T
	c *lab.ChDB
}

func start(t *testing.T) *server { return &server{t, lab.SharedChDB(t)} }

func (s *server) ask(sql string) (string, error) {
	rows, err := s.c.Try(sql)
	lines := make([]string, len(rows))
	for i, row := range rows {
		lines[i] = strings.Join(row, "\t")
	}
	return strings.Join(lines, "\n"), err
}

// run runs a statement that works.
func (s *server) run(format string, args ...any) string {
	s.t.Helper()
	sql := format
	if len(args) > 0 {
		sql = fmt.Sprintf(format, args...)
	}
	answer, err := s.ask(sql)
	if err != nil {
		s.t.Fatalf("%s\n%v", sql, err)
	}
	return answer
}

// want runs a query, and compares its answer.
func (s *server) want(answer, format string, args ...any) {
	s.t.Helper()
	if got := s.run(format, args...); got != answer {
		s.t.Errorf("%s\n got %q\nwant %q", fmt.Sprintf(format, args...), got, answer)
	}
}

// create runs all statements, each twice, in a database of the test's own.
func (s *server) create(o Options) Options {
	s.t.Helper()
	o.Database, o.Table = strings.ToLower(s.t.Name()), DefaultTable
	if o.Layout == Dnsmonster {
		o.Database += "_dnsmonster"
	}
	if err := o.Check(); err != nil {
		s.t.Fatal(err)
	}
	for range 2 {
		for _, statement := range Statements(o) {
			s.run("%s", statement.SQL)
		}
	}
	s.t.Cleanup(func() { s.run("DROP DATABASE %s SYNC", identifier(o.Database)) })
	return o
}

// dropViews saves a test the parts of the aggregates that it does not look at.
func (s *server) dropViews(o Options, except ...string) {
	s.t.Helper()
	for _, a := range aggregates {
		if !slices.Contains(except, a.name) {
			s.run("DROP VIEW %s", o.shared(a.view()))
		}
	}
}

// merge brings all rows of a table into one part for each partition.
func (s *server) merge(table string) {
	s.t.Helper()
	s.run("OPTIMIZE TABLE %s FINAL", table)
}

// row is what an insert of a test says about a record; the rest are defaults.
type row struct {
	time, server, question, protocol, src, dst string
	qr, opcode, class, kind, rcode, size       int
	edns, do                                   int
	weight                                     float64 // not in dnsmonster's layout
}

// insert inserts rows in one block.
func (s *server) insert(o Options, settings string, rows ...row) {
	s.t.Helper()
	names, values := "PacketTime, Server, Question, Protocol, SrcIP, DstIP, IPVersion, QR, OpCode, Class, Type, ResponseCode, Size, Edns0Present, DoBit", make([]string, len(rows))
	if o.Layout == Ours {
		names += ", Weight"
	}
	for i, r := range rows {
		values[i] = fmt.Sprintf("('%s', '%s', '%s', '%s', '%s', '%s', %d, %d, %d, %d, %d, %d, %d, %d, %d",
			r.time, r.server, r.question, r.protocol, r.src, r.dst, 4+2*strings.Count(r.src[:1], "2"), r.qr, r.opcode, r.class, r.kind, r.rcode, r.size, r.edns, r.do)
		if o.Layout == Ours {
			values[i] += fmt.Sprintf(", %g", r.weight)
		}
		values[i] += ")"
	}
	if settings != "" {
		settings = " SETTINGS " + settings
	}
	s.run("INSERT INTO %s (%s)%s VALUES %s", o.table(o.Table), names, settings, strings.Join(values, ", "))
}

// traffic is a minute and a bit of queries and answers; part varies it.
func traffic(part int) []row {
	var rows []row
	for i := range 240 {
		r := row{
			time:   fmt.Sprintf("2026-11-23 10:%02d:%02d.%06d", i/100, i%60, i*1001+part),
			server: []string{"a", "b"}[i%2], question: fmt.Sprintf("n%d.example.org.", i%7), protocol: []string{"udp", "tcp", "dot"}[i%3],
			src: fmt.Sprintf("::ffff:192.0.2.%d", i%5), dst: "2001:db8::53", qr: i / 2 % 2, opcode: i % 11 / 10 * 5, class: 1 + i%13/12*2, kind: []int{1, 28, 65}[i%3],
			rcode: i / 2 % 2 * (i % 4), size: 40 + i, edns: i % 2, do: i % 6 / 5, weight: float64(1 + part*(i%2)),
		}
		if i%9 == 0 {
			r.src = fmt.Sprintf("2001:db8::%d", i%4)
		}
		rows = append(rows, r)
	}
	return rows
}
