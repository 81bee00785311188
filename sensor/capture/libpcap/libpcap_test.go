//go:build libpcap && cgo && linux

package libpcap

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/capture/watch"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/userspace/packet"
)

// TestBothDirections: each frame comes once, with its direction, bytes, interface and
// time.
func TestBothDirections(t *testing.T) {
	l := newLink(t)
	s, r := l.open(Options{})
	before := time.Now()
	in, out := frame("i"), frame("o")
	l.send("b0", in)
	l.send("a0", out)
	got := r.await(t, 2)
	slices.SortFunc(got, func(a, b packet.Packet) int { return int(a.Direction) - int(b.Direction) })
	for i, want := range [][]byte{in, out} {
		p := got[i]
		if !bytes.Equal(p.Data, want) || int(p.WireLen) != len(want) || p.Link != packet.LinkEthernet || p.Interface != uint32(l.index("a0")) {
			t.Errorf("got %+v, want %x", p, want)
		}
		if at := time.Unix(0, p.Time); at.Before(before) || at.After(time.Now()) {
			t.Errorf("the time is %v, the test began at %v", at, before)
		}
	}
	if ways := texts(got); ways != "in:i out:o " {
		t.Errorf("directions: %s", ways)
	}
	if got[0].Time%1000 == 0 && got[1].Time%1000 == 0 {
		t.Error("times have no nanoseconds")
	}
	if a := s.Attached(); !slices.Equal(a, []string{"a0: libpcap, both directions"}) {
		t.Errorf("attached %q", a)
	}
	if name := s.InterfaceName(got[0].Interface, got[0].Time); name != "a0" {
		t.Errorf("the interface is %q", name)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	r.wait.Wait()
	if c := counters(t, s); c["in"] != 2 || c["delivered"] != 2 {
		t.Errorf("counters: %v", c)
	}
}

// TestTags: libpcap puts tags back that the kernel has removed, in both directions.
func TestTags(t *testing.T) {
	l := newLink(t)
	_, r := l.open(Options{})
	const q, ad = 0x8100, 0x88a8
	frames := [][]byte{
		frame("0", [2]uint16{q, 100}), frame("1", [2]uint16{ad, 7}), frame("2", [2]uint16{q, 0}), frame("3", [2]uint16{q, 0x1000 | 5}),
		frame("4", [2]uint16{ad, 7}, [2]uint16{q, 8}), frame("5", [2]uint16{q, 1}, [2]uint16{q, 2}, [2]uint16{q, 3}),
	}
	l.send("a0", frames...)
	l.send("b0", frames...)
	got := r.await(t, 2*len(frames))
	for _, way := range []packet.Direction{packet.DirectionIn, packet.DirectionOut} {
		var some [][]byte
		for _, p := range got {
			if p.Direction == way {
				some = append(some, p.Data)
			}
			if p.HasVLAN || int(p.WireLen) != len(p.Data) {
				t.Errorf("tag in metadata, or a wrong length: %+v", p)
			}
		}
		if !slices.EqualFunc(some, frames, bytes.Equal) {
			t.Errorf("%s:\n%x, want\n%x", way, some, frames)
		}
	}
}

// TestLongAndCut: packets that do not fit into a chunk, and the snap length.
func TestLongAndCut(t *testing.T) {
	l := newLink(t)
	l.ip("link set a0 mtu 65535\nlink set b0 mtu 65535")
	_, r := l.open(Options{})
	var want [][]byte
	for i := range 40 {
		want = append(want, frame(strings.Repeat(string(rune('a'+i%26)), []int{1, 60_000, 300, 65_400}[i%4])))
	}
	l.send("b0", want...)
	for i, p := range r.await(t, len(want)) {
		if !bytes.Equal(p.Data, want[i]) {
			t.Fatalf("packet %d has %d bytes, want %d", i, len(p.Data), len(want[i]))
		}
	}
	_, r = l.open(Options{Select: capture.Selection{SnapLen: 100}})
	l.send("b0", want[1])
	if p := r.await(t, 1)[0]; !bytes.Equal(p.Data, want[1][:100]) || int(p.WireLen) != len(want[1]) {
		t.Errorf("cut: %d bytes of %d", len(p.Data), p.WireLen)
	}
}

// TestDropsAreCounted: a lane that nobody reads loses what has no room, and a ring that
// nobody reads loses in the kernel; all of it is counted.
func TestDropsAreCounted(t *testing.T) {
	l := newLink(t)
	s := l.openOnly(Options{BufferBytes: 1})
	long := frame(strings.Repeat("x", 1400))
	const n = 2000
	many := slices.Repeat([][]byte{long}, n)
	l.send("b0", many...)
	await.True(t, "all have an outcome", func() bool { return counters(t, s)["in"] == n })
	c := counters(t, s)
	if c["lane_full"] == 0 || c["delivered"] == 0 || c["ring_full"] != 0 {
		t.Errorf("counters: %v", c)
	}
	r := newReaders(s)
	if got := r.await(t, int(c["delivered"])); !bytes.Equal(got[0].Data, long) {
		t.Errorf("got %x", got[0].Data)
	}
	// The reader of the handles cannot read while it waits for this lock.
	for a := range s.attached {
		a.mu.Lock()
		l.send("b0", many...)
		l.send("b0", many...)
		a.mu.Unlock()
	}
	s.Close()
	r.wait.Wait()
	if c = counters(t, s); c["in"] != 3*n || c["ring_full"] == 0 || int(c["delivered"]) != len(r.packets()) {
		t.Errorf("counters: %v, %d packets", c, len(r.packets()))
	}
}

// TestLastPackets: what came before Close is delivered.
func TestLastPackets(t *testing.T) {
	l := newLink(t)
	for i := range 10 {
		s, r := l.open(Options{Lanes: 2})
		l.send("b0", frame("i"), frame("i"))
		l.send("a0", frame("o"))
		time.Sleep(time.Duration(i) * time.Millisecond)
		begin := time.Now()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("Close took %v", took)
		}
		r.wait.Wait()
		if got := r.packets(); len(got) != 3 || s.Given() != 3 {
			t.Errorf("%d: %d packets, %d given, want 3", i, len(got), s.Given())
		}
	}
}

// TestNothingIsAllocated for each packet, from the handle to the reader of the lane.
func TestNothingIsAllocated(t *testing.T) {
	l := newLink(t)
	s := l.openOnly(Options{})
	frames := make([][]byte, 2000)
	for i := range frames {
		frames[i] = frame(fmt.Sprint(i))
	}
	var b packet.Batch
	sent, got := 0, 0
	send := func() { l.send("b0", frames...); sent += len(frames) }
	read := func() {
		for got < sent {
			if s.lanes[0].Read(&b) == nil {
				got += len(b.Packets)
			}
		}
	}
	send()
	read() // grows what is kept
	allocs := testing.AllocsPerRun(1, func() { send(); read() })
	sending := testing.AllocsPerRun(1, send)
	if each := (allocs - sending) / float64(len(frames)); each > 0.1 {
		t.Errorf("%.2f allocations for each packet", each)
	}
}

// TestMissingRightsAreNamed, by the probe and by a handle.
func TestMissingRightsAreNamed(t *testing.T) {
	newLink(t)
	header, all := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, [2]unix.CapUserData{}
	if err := unix.Capget(&header, &all[0]); err != nil {
		t.Fatal(err)
	}
	less := all
	less[0].Effective &^= 1 << unix.CAP_NET_RAW
	if err := unix.Capset(&header, &less[0]); err != nil {
		t.Fatal(err)
	}
	probed := Supported()
	_, _, opened := openHandle("a0", settings{snapLen: maxSnapLen, bufferBytes: minHandleBytes})
	if err := unix.Capset(&header, &all[0]); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{probed, opened} {
		if err == nil || !strings.Contains(err.Error(), "CAP_NET_RAW: run as root, or: setcap cap_net_raw+ep") {
			t.Errorf("the error is: %v", err)
		}
	}
}

// TestInterfaceThatIsDown is captured when it comes up; one that goes down stays captured.
func TestInterfaceThatIsDown(t *testing.T) {
	l := newLink(t)
	l.ip("link set a0 down")
	d := device{name: "a0", index: l.index("a0")}
	s := l.openOnly(Options{Watch: watch.Options{Interfaces: []string{"b0"}}})
	if _, err := s.attach(d); !errors.Is(err, watch.ErrDown) {
		t.Errorf("attach: %v", err)
	}
	l.ip("link set a0 up")
	a, err := s.attach(d)
	if err != nil {
		t.Fatal(err)
	}
	r := newReaders(s)
	for i := range 5 {
		l.ip("link set a0 down")
		l.ip("link set a0 up")
		l.send("a0", frame(fmt.Sprint(i)))
		r.await(t, 2*i+2) // b0 has it, too
		if !a.Alive() {
			t.Errorf("%d: not alive any more", i)
		}
	}
	// libpcap asks for the state of the interface by the name that it had.
	l.ip("link set a0 down\nlink set a0 name a1\nlink set a1 up")
	l.send("a1", frame("5"))
	l.ip("link set a1 down\nlink set a1 up\nlink add a0 type veth peer c0")
	l.send("a1", frame("6"))
	if got := texts(r.await(t, 14)); strings.Count(got, "out:5") != 1 || strings.Count(got, "out:6") != 1 || !a.Alive() {
		t.Errorf("after a change of the name: %s, alive %t", got, a.Alive())
	}
	if text := l.log.String(); text != "" {
		t.Errorf("log: %s", text)
	}
	a.Close()
}

// TestInterfaceThatIsDeleted ends its attachment, also if another one has the name at
// once; what came before is delivered, and the counters are kept.
func TestInterfaceThatIsDeleted(t *testing.T) {
	l := newLink(t)
	s, r := l.open(Options{})
	for i := range 3 {
		d := device{name: "a0", index: l.index("a0")}
		a, err := s.attach(d)
		if err != nil {
			t.Fatal(err)
		}
		l.send("a0", frame(fmt.Sprint(i)))
		l.ip("link del a0\nlink add a0 type veth peer b0\nlink set a0 up\nlink set b0 up")
		await.True(t, "the attachment has ended", func() bool { return !a.Alive() })
		a.Close()
		if a.Alive() {
			t.Error("alive after Close")
		}
		if i == 0 {
			r.await(t, 2) // the watcher's attachment has it, too
		} else {
			r.await(t, 2+i)
		}
	}
	if c := counters(t, s); c["in"] != 4 {
		t.Errorf("counters: %v", c)
	}
}

// TestDevices lists the interfaces of this namespace.
func TestDevices(t *testing.T) {
	l := newLink(t)
	l.ip("addr add 192.0.2.1/24 dev a0")
	all, err := Devices()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(d Device) bool { return d.Name == "a0" })
	if i < 0 || !all[i].Up || all[i].Loopback || fmt.Sprint(all[i].Addresses) != "[192.0.2.1]" {
		t.Errorf("devices: %+v", all)
	}
	if !strings.HasPrefix(Version(), "libpcap version ") {
		t.Errorf("version %q", Version())
	}
}
