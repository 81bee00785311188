//go:build linux

package scenes

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/test/program"
)

// outageRate is the number of queries a second before, during and after the outage.
const outageRate = 20_000

// TestOutage stops PostgreSQL during 20,000 queries a second, and starts it again while
// they continue. Memory and disk stay within their bounds, the sensor catches up, and
// each query is one row, or counted as lost. On a busy machine the sensor may catch up
// only after the last query, and the kernel's ring may overflow.
//
// An hour of this would be 72 million records and 10 GB. The outage is shorter, and the
// spool is smaller by the same factor: 10 GiB of disk for an hour are 170 MiB for a
// minute. The queue in memory keeps its 64 MiB where memory is measured.
func TestOutage(t *testing.T) {
	tier.Alone(t)
	server := lab.StartPostgres(t)
	t.Run("held", func(t *testing.T) { playOutage(t, server, "held", tier.Length(3, 30)) })
	t.Run("longer than the disk holds", func(t *testing.T) {
		o := newOutage(t, server, "longer", "--queuemb=2", "--spoolmb=8")
		o.run(tier.Length(4, 6))
		if r := o.stopAndCompare(); r.Sum("delivery psql", "spool_evicted") == 0 {
			t.Errorf("nothing was evicted: this scene shows nothing:\n%s", r.Log)
		}
	})
}

// TestSoakOutage is an outage of minutes.
func TestSoakOutage(t *testing.T) {
	tier.ByHand(t, tier.Soak)
	playOutage(t, lab.StartPostgres(t), "soak", 120)
}

// playOutage runs an outage that the spool can hold.
func playOutage(t *testing.T, server *lab.Postgres, table string, seconds int) {
	t.Helper()
	const comeAndGo = 5 // seconds that the server may take for it
	o := newOutage(t, server, table, "--queuemb=64", fmt.Sprintf("--spoolmb=%d", 170*(seconds+comeAndGo)/60))
	o.run(seconds)
	r := o.stopAndCompare()
	if planned := time.Duration(seconds+comeAndGo) * time.Second; o.down > planned {
		t.Logf("the server was down for %s: what has to hold an outage of %s may not have held it", o.down, planned)
	} else if r.Lost() != r.Sum("kernel tc ingress", "ring_full") {
		t.Errorf("the sensor lost some that the kernel had captured:\n%s", r.Log)
	}
	if o.ratio < 3 && tier.Full() {
		t.Errorf("caught up at %.1f times the rate of the input, want 3", o.ratio)
	}
}

type outage struct {
	t       *testing.T
	server  *lab.Postgres
	table   string
	hosts   *lab.Lab
	sensor  *program.Process
	spool   string
	spoolMB int
	sent    uint64
	stored  int64 // bytes in the spool at most
	down    time.Duration
	ratio   float64 // of what was delivered and what came in, while it caught up
}

func newOutage(t *testing.T, server *lab.Postgres, table string, bounds ...string) *outage {
	t.Helper()
	o := &outage{t: t, server: server, table: table, hosts: lab.New(t), spool: t.TempDir()}
	fmt.Sscanf(bounds[1], "--spoolmb=%d", &o.spoolMB)
	o.hosts.Server.Sink(t, 53)
	_, port, _ := strings.Cut(o.server.Addr, ":")
	o.sensor = program.Attach(t, o.hosts.Server, append(bounds, "--psqloutputtype=1", "--psqlbatchsize=2000", "--stats=1s",
		"--psqlendpoint=postgres://postgres@/postgres?host="+filepath.Dir(o.server.Dir)+"&port="+port+"&sslmode=disable",
		"--psqltable="+table, "--spooldir="+o.spool, "--spoolfreemb=0")...)
	return o
}

// run sends queries before, during and after the outage, until nothing is held any more.
func (o *outage) run(seconds int) {
	o.t.Helper()
	messages := make([][]byte, outageRate*(2*seconds+60))
	for i := range messages {
		messages[i] = lab.Query{Name: fmt.Sprintf("h%d.example.org", i), Type: "A"}.Message()
	}
	f := lab.Flow{From: o.hosts.Client, To: netip.AddrPortFrom(o.hosts.Server.V4, 53), Messages: messages, Rate: outageRate, Count: len(messages)}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		sent, err := f.Send(ctx)
		o.sent = sent.Packets
		done <- err
	}()
	o.sensor.Until("records are delivered", func() bool { return o.server.Int(o.t, "SELECT count(*) FROM "+o.table) > 0 })
	begun := time.Now()
	if err := o.server.Stop(); err != nil {
		o.t.Fatal(err)
	}
	for range 4 * seconds {
		time.Sleep(time.Second / 4)
		o.stored = max(o.stored, o.onDisk())
	}
	before := o.sensor.Log()
	if err := o.server.Start(); err != nil {
		o.t.Fatal(err)
	}
	o.down = time.Since(begun)
	o.sensor.Until("the sensor has caught up", func() bool {
		time.Sleep(time.Second / 4)
		o.stored = max(o.stored, o.onDisk())
		return !o.catchingUp(o.sensor.Log()[len(before):])
	})
	cancel()
	if err := <-done; err != nil {
		o.t.Fatal(err)
	}
}

// onDisk is the size of the spool's segments.
func (o *outage) onDisk() (bytes int64) {
	segments, _ := filepath.Glob(filepath.Join(o.spool, "psql", "*.blocks"))
	for _, path := range segments {
		if info, err := os.Stat(path); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}

// catchingUp reports whether the sensor holds more than it sees in a second, and keeps
// the rates meanwhile.
func (o *outage) catchingUp(log string) bool {
	var seen, delivered int
	more, held := true, -1
	for _, line := range program.ParseStats(log) {
		d := held - line.Waiting + line.Records // each line is about a second
		if held >= 0 && held > line.Waiting && more {
			seen, delivered = seen+line.Packets, delivered+d
			more = line.Waiting > outageRate
		} // else not connected yet; or done
		held = line.Waiting
	}
	if seen > 0 {
		o.ratio = float64(delivered) / float64(seen)
	}
	return more || seen == 0
}

// stopAndCompare stops the sensor, compares the queries sent with the rows and the ledgers, and
// checks the bounds.
func (o *outage) stopAndCompare() program.Result {
	o.t.Helper()
	memory := program.PeakMemory(o.t, o.sensor.Cmd.Process.Pid)
	r := o.sensor.Stop()
	r.ExpectCounted(o.t)
	rows := o.server.Int(o.t, "SELECT count(*) FROM "+o.table)
	names := o.server.Int(o.t, fmt.Sprintf("SELECT count(DISTINCT question) FROM %s WHERE question ~ '^h[0-9]+[.]example[.]org[.]$' AND "+
		"substring(question from '[0-9]+')::int < %d", o.table, o.sent))
	lost := r.Sum("kernel tc ingress", "ring_full") + r.Sum("delivery psql", "queue_full") + r.Sum("delivery psql", "spool_evicted")
	if rows != names || uint64(rows)+lost != o.sent {
		o.t.Errorf("%d rows, %d different queries, %d counted as lost; %d were sent:\n%s", rows, names, lost, o.sent, r.Log)
	}
	if memory > 256 {
		o.t.Errorf("%d MiB of memory, at most 256", memory)
	}
	if bound := int64(o.spoolMB) << 20; o.stored > bound || o.stored < 1<<20 {
		o.t.Errorf("%d bytes in the spool, its bound is %d", o.stored, bound)
	}
	o.t.Logf("%d queries, %d rows, %d evicted; at most %d MiB of memory and %d MiB on disk; caught up at %.1f times the rate of the input",
		o.sent, rows, r.Sum("delivery psql", "spool_evicted"), memory, o.stored>>20, o.ratio)
	return r
}
