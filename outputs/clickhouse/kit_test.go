//go:build linux

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/clickhouse/schema"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/userspace/event"
)

// newOutput returns an output with options, whose name is sensor1.
func newOutput(t outputtest.T, args ...string) *Output {
	t.Helper()
	o := New()
	o.SetCommon(outputs.Common{Server: "sensor1"})
	outputtest.Options(t, o, append([]string{"--clickhouseoutputtype=1"}, args...)...)
	if _, err := o.Settings(); err != nil {
		t.Fatalf("%v", err)
	}
	return o
}

// created returns an output for new tables in a database: the log and, if so, what sums it
// up.
func created(t testing.TB, c *lab.ChDB, database string, aggregates bool, args ...string) *Output {
	t.Helper()
	c.Exec(t, "CREATE DATABASE IF NOT EXISTS "+database)
	for _, s := range schema.Statements(schema.Options{Database: database, Table: "DNS_LOG"}) {
		if aggregates || s.Name == "DNS_LOG" {
			c.Exec(t, s.SQL)
		}
	}
	return newOutput(t, append([]string{"--clickhouseaddress=" + c.Addr, "--clickhousedatabase=" + database}, args...)...)
}

// attempt is the context of one attempt.
func attempt(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), await.Limit)
	t.Cleanup(cancel)
	return ctx
}

// openWriter opens a writer and closes it at the end of the test.
func openWriter(t testing.TB, o *Output) *writer {
	t.Helper()
	w, err := o.Open(attempt(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w.(*writer)
}

// deliver writes a block, again and again as the runner does.
func deliver(t testing.TB, w outputs.Writer, b *event.Block) (refused int) {
	t.Helper()
	var last error
	for range 200 {
		n, err := w.Write(attempt(t), b)
		refused += n
		var partial *outputs.Partial
		if err == nil || n > 0 && errors.As(err, &partial) {
			return refused
		}
		last = err
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("the block cannot be written: %v", last)
	return 0
}

// rowsOf is what an event becomes in the table.
func rowsOf(e *event.Event) (list []string) {
	addr := func(a interface {
		IsValid() bool
		String() string
		Is4() bool
	}) string {
		switch {
		case !a.IsValid():
			return "::"
		case a.Is4():
			return "::ffff:" + a.String()
		}
		return a.String()
	}
	bit := map[bool]int{true: 1}
	var row event.Row
	for rows := e.Rows(); rows.Next(&row); {
		list = append(list, fmt.Sprintf("%d|sensor1|%d|%s|%s|%s|%d|%d|%d|%d|%d|%d|%d|%x|%d",
			clampTime(e.Time), e.IPVersion(), addr(e.Src.Addr()), addr(e.Dst.Addr()), e.Proto,
			bit[e.DNS.Response()], e.DNS.Opcode(), row.Class, row.Type, bit[e.DNS.EDNS.Present], bit[e.DNS.EDNS.DO],
			e.DNS.Rcode(), rows.AppendName(nil, &row), e.Length()))
	}
	return list
}

// clampTime is the time in microseconds, as the column has it.
func clampTime(ns int64) int64 {
	const earliest = -2208988800 // 1900
	us := ns / 1000
	if ns%1000 < 0 {
		us--
	}
	return max(us, earliest*1_000_000)
}

const rowsSQL = `SELECT concat(toString(toUnixTimestamp64Micro(toDateTime64(PacketTime, 6))), '|', Server, '|', toString(IPVersion), '|', toString(SrcIP), '|', toString(DstIP), '|', Protocol, '|',
	toString(QR), '|', toString(OpCode), '|', toString(Class), '|', toString(Type), '|', toString(Edns0Present), '|', toString(DoBit), '|', toString(ResponseCode), '|', lower(hex(Question)), '|', toString(Size)) FROM `

// rowsIn are the rows of a database's log.
func rowsIn(t testing.TB, c *lab.ChDB, database string) (list []string) {
	t.Helper()
	for _, row := range c.Query(t, rowsSQL+database+".DNS_LOG") {
		list = append(list, row[0])
	}
	return list
}

// sum is one number.
func sum(t testing.TB, c *lab.ChDB, sql string) string {
	t.Helper()
	return strings.Join(slices.Concat(c.Query(t, sql)...), " ")
}
