//go:build linux

package scenes

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
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

// TestTermUnderLoadInEveryMode: what the server has answered before the signal is recorded,
// with its answer, though the last block of the capture is not full.
func TestTermUnderLoadInEveryMode(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	lab.StartKnot(t, l, lab.Zone{Names: 100})
	l.Server.Sink(t, 5353)
	list := observe(t, l, everyWay(), "--ringmb=64", "--queuemb=256", "--port=53,5353")
	var load sync.WaitGroup
	f := lab.Flow{
		From: l.Client, To: netip.AddrPortFrom(l.Server.V4, 5353), Ports: 16, Rate: 3000, Count: 1 << 30,
		Messages: lab.Messages(lab.Zone{Names: 1000}.Queries(1000, 1)),
	}
	load.Go(func() {
		if _, err := f.Send(t.Context()); err != nil {
			t.Error(err)
		}
	})
	a := lab.StartAsker(t, l, netip.AddrPortFrom(l.Server.V4, 53), "before", 200)
	time.Sleep(tier.Length(300*time.Millisecond, 2*time.Second)) // the length of the load
	var signalled []time.Time
	for _, o := range list { // each while the load goes on
		signalled = append(signalled, time.Now())
		o.Stop().Expect(t, program.ExitOK)
	}
	asks := a.Stop()
	for i, o := range list {
		b, err := os.ReadFile(o.RecordsFile)
		if err != nil {
			t.Fatal(err)
		}
		before := 0
		for n, asked := range asks {
			if asked.Answered.IsZero() || asked.Answered.After(signalled[i]) {
				continue
			}
			before++
			if got := bytes.Count(b, []byte(`"`+a.Name(n)+`."`)); got != 2 {
				t.Errorf("%s: number %d was answered %s before the signal, and is recorded %d times, want query and answer", o.name, n, signalled[i].Sub(asked.Answered), got)
			}
		}
		if before == 0 || !bytes.Contains(b, []byte(`"DstPort":5353`)) {
			t.Errorf("%s: %d answers before the signal, or no load: this test shows nothing", o.name, before)
		}
	}
}

// TestTermAtOnceInEveryMode: a signal at any moment of the start ends it soon, and leaves
// nothing on the interface.
func TestTermAtOnceInEveryMode(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	for _, w := range everyWay() {
		for _, after := range tier.Length([]time.Duration{0}, []time.Duration{0, 20 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond, time.Second}) {
			o := observeOn(t, l.Server, l.Server.Iface, w, "--promiscuous")
			if after == 0 {
				o.WaitForCapture() // and at that moment
			} else {
				time.Sleep(after) // a moment of the start, whichever
			}
			o.Signal(syscall.SIGTERM)
			r := o.Wait(await.Limit)
			// Before main a signal ends any program.
			early := o.Cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM && r.Log == ""
			if !early && (r.Code != program.ExitOK || strings.Contains(r.Log, "level=ERROR")) {
				t.Errorf("%s: stopped after %s: exit status %d:\n%s", w.name, after, r.Code, r.Log)
			}
			if left := attachedTo(t, l.Server); left != "" {
				t.Errorf("%s: stopped after %s: left on the interface: %s", w.name, after, left)
			}
			if n := promiscuityCount(t, l.Server, l.Server.Iface); n != 0 {
				t.Errorf("%s: stopped after %s: promiscuity %d", w.name, after, n)
			}
		}
	}
}

// TestSecondSignalInEveryMode ends a sensor that waits for an output, and leaves nothing.
func TestSecondSignalInEveryMode(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	var list []*observer
	for _, w := range everyWay() {
		if w.client {
			continue
		}
		list = append(list, observeOn(t, l.Server, l.Server.Iface, w, "--grace=10m", "--psqloutputtype=1", "--stats=100ms",
			fmt.Sprintf("--psqlendpoint=postgres://sensor@127.0.0.1:%d/dns", lab.FreePort(t, "tcp"))))
	}
	waitForAll(list)
	for _, o := range list {
		o.WaitFor("output fails, trying again")
	}
	sendFrom(t, l.Server, l.Server.Iface, "waits")
	for _, o := range list {
		o.WaitForWaiting(1)
		o.Signal(syscall.SIGTERM)
		o.WaitFor("msg=stopping")
	}
	time.Sleep(nextSignal)
	for _, o := range list {
		o.Signal(syscall.SIGTERM)
		r := o.Wait(await.Limit / 4)
		r.Expect(t, program.ExitUndelivered)
		r.ExpectLog(t, "second signal: exiting at once", "1 abandoned (delivery, psql)")
	}
	if left := attachedTo(t, l.Server); left != "" {
		t.Errorf("left on the interface: %s", left)
	}
}
