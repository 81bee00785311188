//go:build linux

package scenes

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/test/program"
)

// TestBothDirectionsNoneLost compares records with the counters of the client and of the
// server.
func TestBothDirectionsNoneLost(t *testing.T) {
	tier.Alone(t)
	lab.Need(t, "dnsperf")
	l := lab.New(t)
	knot := lab.StartKnot(t, l, lab.Zone{Names: 1000})
	before, err := knot.Stats()
	if err != nil {
		t.Fatal(err)
	}
	wire, err := l.Server.Counters()
	if err != nil {
		t.Fatal(err)
	}
	p := program.Attach(t, l.Server, "--ringmb=128", "--queuemb=512") // large enough to lose nothing on a busy machine
	var sent [2]uint64
	for i, v6 := range []bool{false, true} {
		perf, err := l.Dnsperf(context.Background(), lab.Perf{
			Queries: knot.Zone.Queries(10000, 1), Rate: 20000, Seconds: int(tier.Length(2*time.Second, 30*time.Second) / time.Second), V6: v6,
		})
		if err != nil {
			t.Fatal(err)
		}
		sent[i] = perf.Sent
	}
	var after lab.Stats
	var dropped uint64
	p.Until("Knot has answered what it got, and the answers are on the wire", func() bool {
		if after, err = knot.Stats(); err != nil {
			t.Fatal(err)
		}
		if dropped, err = lab.RcvbufErrors(l.Server); err != nil {
			t.Fatal(err)
		}
		now, err := l.Server.Counters()
		if err != nil {
			t.Fatal(err)
		}
		got, answered, now := after.UDP()-before.UDP(), after.Responses()-before.Responses(), now.Sub(wire)
		return got+dropped >= now.RxPackets && answered == got && now.TxPackets+now.TxDropped >= answered
	})
	r := p.Stop()
	r.Expect(t, program.ExitOK)
	c := program.Count(t, p.RecordsFile)
	if c.Queries4 != sent[0] || c.Queries6 != sent[1] {
		t.Errorf("queries recorded %d and %d, dnsperf sent %d and %d", c.Queries4, c.Queries6, sent[0], sent[1])
	}
	if got, want := c.Queries4+c.Queries6, after.UDP()-before.UDP()+dropped; got != want {
		t.Errorf("queries recorded %d, Knot counts %d with %d lost in its socket", got, want, dropped)
	}
	if got, want := c.Responses4+c.Responses6, after.Responses()-before.Responses(); got != want {
		t.Errorf("responses recorded %d, Knot counts %d", got, want)
	}
	t.Logf("%d queries, %d responses", c.Queries4+c.Queries6, c.Responses4+c.Responses6)
}

// flow is a stream of queries to the server's port 53, where a sink accepts them.
func flow(t *testing.T, l *lab.Lab, rate, count int) lab.Flow {
	t.Helper()
	l.Server.Sink(t, 53)
	return lab.Flow{
		From: l.Client, To: netip.AddrPortFrom(l.Server.V4, 53), Ports: 16,
		Messages: lab.Messages(lab.Zone{Names: 1000}.Queries(5000, 1)), Rate: rate, Count: count,
	}
}

// TestLoad records 100,000 packets a second without loss, while the generator runs beside
// it. On a machine that other programs use too, every lost packet is counted.
func TestLoad(t *testing.T) {
	tier.Alone(t)
	l := lab.New(t)
	const rate = 100_000
	f := flow(t, l, rate, 1<<30)
	before, err := l.Server.Counters()
	if err != nil {
		t.Fatal(err)
	}
	p := program.Attach(t, l.Server, "--stats", "1s")
	others := program.OthersShare(t, p.Cmd.Process.Pid)
	ctx, cancel := context.WithTimeout(context.Background(), tier.Length(4*time.Second, 60*time.Second))
	defer cancel()
	sent, err := f.Send(ctx)
	if err != nil {
		t.Fatal(err)
	}
	share := others()
	memory := program.PeakMemory(t, p.Cmd.Process.Pid)
	after, err := l.Server.Counters()
	if err != nil {
		t.Fatal(err)
	}
	r := p.Stop()
	lost := r.ExpectCounted(t)
	full, queue := r.Sum("kernel tc ingress", "ring_full"), r.Sum("delivery stdout", "queue_full")
	if arrived := after.Sub(before).RxPackets; r.Sum("kernel tc ingress", "in") != arrived {
		t.Errorf("the kernel program saw %d, %d packets arrived", r.Sum("kernel tc ingress", "in"), arrived)
	}
	if c := program.Count(t, p.RecordsFile); c.Queries4+lost != sent.Packets || lost != full+queue {
		t.Errorf("%d recorded, %d sent, %d lost: %d ring_full and %d queue_full", c.Queries4, sent.Packets, lost, full, queue)
	}
	if lost > 0 && share < 0.1 {
		t.Errorf("%d lost, though other programs had no more than %.0f%% of the machine", lost, 100*share)
	} else if lost > 0 {
		t.Logf("%d lost and counted: other programs had %.0f%% of the machine", lost, 100*share)
	}
	if memory > 256 {
		t.Errorf("%d MiB of memory, at most 256", memory)
	}
	t.Logf("%d packets in %s, %.0f/s, %d MiB", sent.Packets, sent.Took, float64(sent.Packets)/sent.Took.Seconds(), memory)
}

// TestAboveCapacity sends as fast as it can, and pauses the sensor for a second. Losses
// are counted where they happen, and the sensor stays responsive.
func TestAboveCapacity(t *testing.T) {
	tier.Alone(t)
	l := lab.New(t)
	f := flow(t, l, 0, 1<<30)
	p := program.Attach(t, l.Server, "--stats", "500ms", "--ringmb", "1")
	before, err := l.Server.Counters()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), tier.Length(3*time.Second, 20*time.Second))
	defer cancel()
	time.AfterFunc(time.Second, func() { p.Cmd.Process.Signal(syscall.SIGSTOP) })
	time.AfterFunc(2*time.Second, func() { p.Cmd.Process.Signal(syscall.SIGCONT) })
	sent, err := f.Send(ctx)
	if err != nil {
		t.Fatal(err)
	}
	after, err := l.Server.Counters()
	if err != nil {
		t.Fatal(err)
	}
	memory := program.PeakMemory(t, p.Cmd.Process.Pid)
	begun := time.Now()
	r := p.Stop()
	if took := time.Since(begun); took > await.Limit/2 {
		t.Errorf("it took %s to stop", took)
	}
	r.Expect(t, program.ExitUndelivered)
	if r.Sum("kernel", "ring_full") == 0 {
		t.Error("no ring was full: this test shows nothing")
	}
	arrived := after.Sub(before).RxPackets // all of them: Send waits for that
	kernel := r.Sum("kernel tc ingress", "ring_full") + r.Sum("kernel tc ingress", "delivered")
	if kernel != arrived {
		t.Errorf("ring_full + delivered is %d, %d packets arrived:\n%s", kernel, arrived, r.Log)
	}
	if got := program.Count(t, p.RecordsFile).Total(); got != r.Sum("delivery stdout", "delivered") {
		t.Errorf("%d records written, the ledgers say %d", got, r.Sum("delivery stdout", "delivered"))
	}
	if lines := len(program.ParseStats(r.Log)); lines < 2 || lines > 2+int(sent.Took/(500*time.Millisecond)) {
		t.Errorf("%d lines of statistics in %s, one each 500ms wanted", lines, sent.Took)
	}
	if memory > 256 {
		t.Errorf("%d MiB of memory, at most 256", memory)
	}
	t.Logf("%.0f packets/s sent, %d ring_full, %d queue_full, %d delivered, %d MiB", float64(sent.Packets)/sent.Took.Seconds(),
		r.Sum("kernel", "ring_full"), r.Sum("delivery stdout", "queue_full"), r.Sum("delivery stdout", "delivered"), memory)
}

// TestForeignFragmentsCostNoMessage floods the wire with fragments that are not DNS, beside
// real queries.
func TestForeignFragmentsCostNoMessage(t *testing.T) {
	tier.Alone(t)
	lab.Need(t, "dnsperf")
	l := lab.New(t)
	knot := lab.StartKnot(t, l, lab.Zone{Names: 1000})
	l.Server.Sink(t, 2049)
	p := program.Attach(t, l.Server, "--ringmb=128") // large enough to lose nothing
	ctx, cancel := context.WithCancel(context.Background())
	var flood sync.WaitGroup
	var fragments [2]lab.Sent
	for i, laterOnly := range []bool{false, true} {
		flood.Go(func() {
			var err error
			fragments[i], err = lab.Fragments{From: l.Client, To: l.Server, LaterOnly: laterOnly, Rate: 20000, Count: 1 << 30, Seed: uint64(i)}.Send(ctx)
			if err != nil {
				t.Error(err)
			}
		})
	}
	perf, err := l.Dnsperf(context.Background(), lab.Perf{
		Queries: knot.Zone.Queries(5000, 1), Rate: 5000, Seconds: int(tier.Length(2*time.Second, 15*time.Second) / time.Second),
	})
	cancel()
	flood.Wait()
	if err != nil {
		t.Fatal(err)
	}
	wire, err := l.Client.Counters()
	if err != nil {
		t.Fatal(err)
	}
	r := p.Stop()
	r.Expect(t, program.ExitOK)
	// Nobody can record what the wire itself dropped, of queries or fragments.
	if c := program.Count(t, p.RecordsFile); c.Queries4 > perf.Sent || c.Queries4+wire.TxDropped < perf.Sent || c.Responses4 < perf.Completed {
		t.Errorf("%d queries and %d responses recorded, %d sent, %d dropped by the wire and %d answered:\n%s",
			c.Queries4, c.Responses4, perf.Sent, wire.TxDropped, perf.Completed, r.Log)
	}
	t.Logf("%d foreign fragments beside %d queries", fragments[0].Packets+fragments[1].Packets, perf.Sent)
}

// TestTermUnderLoad stops in the middle of a stream: everything that the kernel program
// captured is delivered.
func TestTermUnderLoad(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	f := flow(t, l, 50_000, 1<<30)
	p := program.Attach(t, l.Server, "--queuemb=1024") // large enough for all that the kernel program captures
	ctx, cancel := context.WithCancel(context.Background())
	var load sync.WaitGroup
	load.Go(func() {
		if _, err := f.Send(ctx); err != nil {
			t.Error(err)
		}
	})
	p.Until("some records are written", func() bool {
		info, err := os.Stat(p.RecordsFile)
		return err == nil && info.Size() > 5<<20
	})
	r := p.Stop()
	cancel()
	load.Wait()
	lost := r.ExpectCounted(t)
	captured := r.Sum("kernel", "delivered")
	if got := program.Count(t, p.RecordsFile).Total(); got != captured || got == 0 || lost != r.Sum("kernel tc ingress", "ring_full") {
		t.Errorf("%d records, the kernel captured %d:\n%s", got, captured, r.Log)
	}
}

// attachedTo returns what `check` finds on the host's interface.
func attachedTo(t *testing.T, host *lab.Host) string {
	t.Helper()
	out, err := program.Command(host, "check", host.Iface).Output()
	if err != nil {
		t.Fatalf("check: %v\n%s", err, out)
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "attached: ") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return strings.Join(lines, "\n")
}

// TestKillLeavesNothing kills the sensor: TCX and XDP programs go with it, and the next
// start removes clsact filters.
func TestKillLeavesNothing(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	for _, mode := range []string{"tcx", "clsact"} {
		p := program.Attach(t, l.Server, "--mode", mode)
		if got := attachedTo(t, l.Server); strings.Count(got, "\n") != 1 {
			t.Fatalf("mode %s: attached while running: %q, want two programs", mode, got)
		}
		p.Cmd.Process.Signal(syscall.SIGKILL)
		<-p.Done
		got := attachedTo(t, l.Server)
		if mode == "tcx" && got != "" {
			t.Errorf("after SIGKILL in mode tcx: %q", got)
		}
		if mode == "clsact" && got == "" {
			t.Error("clsact left nothing behind: this test shows nothing")
		}
	}
	for _, mode := range []string{"clsact", "tcx"} {
		p := program.Attach(t, l.Server, "--mode", mode)
		if got := attachedTo(t, l.Server); strings.Count(got, "\n") != 1 {
			t.Errorf("mode %s after a kill: attached %q, want two programs", mode, got)
		}
		p.Stop().Expect(t, program.ExitOK)
		if got := attachedTo(t, l.Server); got != "" {
			t.Errorf("mode %s: left after a stop: %q", mode, got)
		}
	}
}

// TestDefect16InterfaceComesBack deletes the interface and creates it again.
func TestDefect16InterfaceComesBack(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", append([]string{"-n", l.Server.NS}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v\n%s", args, err, out)
		}
	}
	ip("link", "add", "extra0", "type", "veth", "peer", "name", "extra1")
	ip("link", "set", "extra0", "up")
	p := program.Start(t, l.Server, "attach", "extra0")
	p.WaitForCapture()
	ip("link", "del", "extra0")
	p.WaitFor("interface is gone")
	ip("link", "add", "extra0", "type", "veth", "peer", "name", "extra1")
	p.WaitFor("interface is back")
	ip("addr", "add", "198.51.100.1/24", "dev", "extra0")
	ip("link", "set", "extra0", "up")
	ip("link", "set", "extra1", "up")
	ip("neigh", "replace", "198.51.100.2", "lladdr", "02:00:00:00:00:09", "dev", "extra0")
	f := lab.Flow{
		From: l.Server, To: netip.MustParseAddrPort("198.51.100.2:53"),
		Messages: lab.Messages(lab.Zone{Names: 10}.Queries(10, 1)), Count: 100,
	}
	sent, err := f.Send(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	p.Stop().Expect(t, program.ExitOK)
	if got := program.Count(t, p.RecordsFile).Total(); got != sent.Packets || got == 0 {
		t.Errorf("%d records after the interface came back, %d sent", got, sent.Packets)
	}
	if n := strings.Count(p.Log(), "interface is gone"); n != 1 {
		t.Errorf("said %d times that the interface is gone", n)
	}
}

// TestJSONFields adds interface and direction to records.
func TestJSONFields(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	f := flow(t, l, 1000, 20)
	p := program.Attach(t, l.Server, "--jsonfields=interface,direction")
	if _, err := f.Send(context.Background()); err != nil {
		t.Fatal(err)
	}
	p.Stop().Expect(t, program.ExitOK)
	lines := p.Records()
	for _, line := range lines {
		if !strings.HasSuffix(line, `,"Interface":"`+l.Server.Iface+`","Direction":"in"}`) {
			t.Fatalf("a record without its interface: %s", line)
		}
	}
	if len(lines) != 20 {
		t.Errorf("%d records, want 20", len(lines))
	}
}
