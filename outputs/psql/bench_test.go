//go:build linux

package psql

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// perBatch is a batch size as a user would set it for speed.
const perBatch = 1000

// bareCopy sends encoded rows by pgx's CopyFrom, one transaction for each batch,
// without keys, retries and ledgers.
func bareCopy(t testing.TB, p *lab.Postgres, table string, rows [][]any) time.Duration {
	ctx := context.Background()
	c, err := pgx.Connect(ctx, p.URL(p.Addr, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
	}
	from := time.Now()
	for part := range slices.Chunk(rows, perBatch) {
		if _, err := c.CopyFrom(ctx, pgx.Identifier{table}, names, pgx.CopyFromRows(part)); err != nil {
			t.Fatal(err)
		}
	}
	return time.Since(from)
}

// throughRunner sends the same rows as events through a runner with one connection.
func throughRunner(t testing.TB, o *Output, list []*event.Event) time.Duration {
	set := outputs.Settings{Type: outputs.All, Workers: 1, BatchSize: perBatch, Timeout: o.Timeout}
	from := time.Now()
	r, err := outputs.NewRunner(o, set, false, event.NewIDs(), account.NewDeliveryCounters(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Start(context.Background())
	in := r.Intake()
	for _, e := range list {
		in.Offer(e)
	}
	in.Flush()
	r.Stop(context.Background())
	return time.Since(from)
}

// row is what bareCopy sends for an event.
func row(e *event.Event, now time.Time) []any {
	return []any{
		time.Unix(0, e.Time), now, "sensor1", int32(e.IPVersion()), netip.PrefixFrom(e.Src.Addr(), 32), netip.PrefixFrom(e.Dst.Addr(), 32), e.Proto.String(),
		int32(0), int32(e.DNS.Opcode()), int32(e.DNS.QClass), int32(e.DNS.QType), int32(0), int32(0), "", int32(e.DNS.Rcode()),
		string(e.AppendQName(nil)), int32(e.Length()),
	}
}

// compareSpeeds runs both alternately, on tables of their own, and returns the best
// time of each for n rows.
func compareSpeeds(t testing.TB, n, rounds int) (loop, ours time.Duration) {
	p := postgres(t)
	var list []*event.Event
	var rows [][]any
	for i := range n {
		list = append(list, outputtest.Query(i))
		rows = append(rows, row(list[i], time.Now()))
	}
	for range rounds {
		table, other := newTable(), newTable()
		for _, name := range []string{table, other} {
			if err := outputTo(t, p, name).Check(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		a, b := bareCopy(t, p, table, rows), throughRunner(t, outputTo(t, p, other), list)
		if loop == 0 || a < loop {
			loop = a
		}
		if ours == 0 || b < ours {
			ours = b
		}
		if got := p.Int(t, "SELECT count(*) FROM (SELECT packettime, srcip, question, size FROM "+table+" INTERSECT SELECT packettime, srcip, question, size FROM "+other+") both_have"); got != n {
			t.Fatalf("%d rows are the same in both tables, want %d", got, n)
		}
		p.Exec(t, "DROP TABLE "+table+", "+table+"_blocks, "+other+", "+other+"_blocks")
	}
	return loop, ours
}

func outputTo(t testing.TB, p *lab.Postgres, table string) *Output {
	return parsed(t, "--psqloutputtype", "1", "--psqlendpoint", p.URL(p.Addr, "postgres"), "--psqltable", table)
}

// TestSpeed: with keys, retries and ledgers, at least 60 % of the speed of the bare
// loop. The ratio is measured within one run; short runs only show that it works.
func TestSpeed(t *testing.T) {
	if tier.Full() {
		tier.Alone(t)
	}
	n, rounds := tier.Length(3000, 200_000), tier.Length(1, 3)
	loop, ours := compareSpeeds(t, n, rounds)
	ratio := loop.Seconds() / ours.Seconds()
	t.Logf("%d rows: bare CopyFrom loop %.0f rows/s, the output %.0f rows/s: %.0f %%", n, float64(n)/loop.Seconds(), float64(n)/ours.Seconds(), 100*ratio)
	if rounds > 1 && ratio < 0.6 {
		t.Errorf("%.0f %% of the bare loop, want 60", 100*ratio)
	}
}

// encoding returns an encoder, a batch, and the definition of our own table.
func encoding() (r *rowEncoder, b *event.Block, def *tableDef) {
	def = &tableDef{}
	for _, f := range fields {
		def.columns = append(def.columns, columnNamed(f.Name, oids[f.typeName()]))
	}
	return newRowEncoder(&Output{Basics: outputs.Basics{Common: outputs.Common{Server: "sensor1"}}}), outputtest.Queries(0, perBatch), def
}

func TestEncodeAllocatesNothing(t *testing.T) {
	r, b, def := encoding()
	r.encode(b, def, time.Now())
	if n := testing.AllocsPerRun(10, func() { r.encode(b, def, time.Now()) }); n != 0 {
		t.Errorf("encode allocates %v times for a batch, want 0", n)
	}
}

func BenchmarkEncode(b *testing.B) {
	r, block, def := encoding()
	b.ReportAllocs()
	for b.Loop() {
		r.encode(block, def, time.Now())
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/perBatch, "ns/row")
}
