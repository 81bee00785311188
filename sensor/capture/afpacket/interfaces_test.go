//go:build linux

package afpacket

import (
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/bpf"
	"dnsmonster-sensor/sensor/capture/watch"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/userspace/packet"
)

// lines is a log that tests wait for.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// TestManyInterfacesShareTheBuffer: what a pattern matches later takes no more memory than
// there is, but for the smallest rings.
func TestManyInterfacesShareTheBuffer(t *testing.T) {
	if !inOwnNamespace(t) {
		return
	}
	ipCommand(t, "link add dm0 type veth peer name peer0\nlink set dm0 up")
	s := open(t, Options{Watch: named("dm*"), Lanes: 2, BufferBytes: 8 << 20})
	const n = 12
	for i := 1; i < n; i++ {
		ipCommand(t, fmt.Sprintf("link add dm%d type veth peer name peer%d\nlink set dm%d up", i, i, i))
	}
	await.True(t, "all attached", func() bool { return len(s.Attached()) == n })
	defer s.Free()
	defer s.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	sizes := make(map[int]int)
	total := 0
	for _, k := range s.sockets {
		sizes[len(k.ring.memory)]++
		total += len(k.ring.memory)
	}
	if sizes[1<<20] != 4*2 || sizes[minBlock*minBlocks] != (n-4)*2 || total > 8<<20+(n-4)*2*minBlock*minBlocks {
		t.Errorf("rings by size: %v, %d bytes together", sizes, total)
	}
}

// TestInterfacesComeAndGo: down and up, another name, another namespace, deleted and made
// again. What was captured before is still delivered, and counted.
func TestInterfacesComeAndGo(t *testing.T) {
	if !inOwnNamespace(t) {
		return
	}
	log := new(lines)
	ipCommand(t, "link set lo up\nlink add va type veth peer name vb\nlink set vb up")
	r := read(t, Options{Watch: watch.Options{Interfaces: []string{"va", "lo"}, Log: slog.New(slog.NewTextHandler(log, nil))}, Lanes: 2})
	sent := 0
	pass := func(what string) {
		t.Helper()
		carrier(t, "vb")
		send := injector(t, "vb")
		for i := range 20 { // from several clients, to both lanes
			send(eth(0x0800, ip4frag([]byte{192, 0, 2, byte(i)}, b4, nil, 0, 17, udp(uint16(1000+i), 53, []byte(what)))))
		}
		sent += 20
		r.await(sent)
	}
	lanes := func() int {
		all, seen := r.await(sent), map[int]bool{}
		for _, p := range all[len(all)-20:] {
			seen[p.lane] = true
		}
		return len(seen)
	}
	ipCommand(t, "link set va up") // it was down at first
	pass("up")
	await.True(t, "both lanes have packets", func() bool { pass("again"); return lanes() == 2 })
	ipCommand(t, "link set va down")
	ipCommand(t, "link set va up")
	pass("down and up")
	if lanes() != 2 {
		t.Error("one lane after down and up")
	}
	ipCommand(t, "link set va down\nlink set va name vc\nlink set vc up")
	pass("renamed")
	ipCommand(t, "link set vc down\nlink set vc name va\nlink set va mtu 1400 up")
	pass("has its name again")
	ipCommand(t, "link del va")
	await.True(t, "it is told", func() bool { return log.count("interface is gone") == 1 })
	ipCommand(t, "link add va type veth peer name vb\nlink set va up\nlink set vb up")
	await.True(t, "it is told", func() bool { return log.count("interface is back") == 1 })
	pass("made again")
	child := exec.Command("ip", "monitor") // until it is killed
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer child.Process.Kill()
	ipCommand(t, fmt.Sprintf("link set va netns %d", child.Process.Pid))
	await.True(t, "it is told", func() bool { return log.count("interface is gone") == 2 })
	if list := r.end(); len(list) != sent || r.counter("in") != uint64(sent) {
		t.Errorf("%d packets of %d, %d counted", len(list), sent, r.counter("in"))
	}
}

// TestSocketsBeginToShare while packets arrive, as they do on kernels that do not let the
// sockets share those of an interface that is down: none is lost, and none comes twice.
func TestSocketsBeginToShare(t *testing.T) {
	pair(t)
	send := injector(t, "vb")
	r := read(t, Options{Watch: named("lo"), Lanes: 3})
	s := r.source
	g := &group{source: s, index: index(t, "va")}
	for range s.lanes {
		k, err := openSocket(s.nextGeometry(), true, s.onlyIncoming)
		if err != nil {
			t.Fatal(err)
		}
		g.sockets = append(g.sockets, k)
	}
	if err := errors.Join(g.sockets[0].bind(g.index), g.sockets[0].setFilter(s.filter), s.adopt(g)); err != nil {
		t.Fatal(err)
	}
	sent := 0
	pass := func(step string, wantLanes int) {
		t.Helper()
		for i := range 60 {
			send(eth(0x0800, ip4frag([]byte{192, 0, 2, byte(i)}, b4, nil, 0, 17, udp(uint16(1000+i), 53, fmt.Append(nil, sent, " ", i)))))
		}
		all, lanes := r.await(sent+60), map[int]bool{}
		for _, p := range all[sent:] {
			lanes[p.lane] = true
		}
		sent += 60
		if len(lanes) != wantLanes {
			t.Errorf("%s: %d lanes have packets, want %d", step, len(lanes), wantLanes)
		}
	}
	pass("before", 1)
	if err := g.gather(); err != nil {
		t.Fatal(err)
	}
	pass("gathered", 1)
	for _, k := range g.sockets[1:] {
		if err := k.setFilter(s.filter); err != nil {
			t.Fatal(err)
		}
	}
	pass("all let packets in", 1)
	if err := g.spread(); err != nil {
		t.Fatal(err)
	}
	pass("spread", 3)
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	times := make(map[string]int)
	for _, p := range r.end() {
		times[payload(p.Data)]++
	}
	for what, n := range times {
		if n != 1 {
			t.Errorf("packet %s came %d times", what, n)
		}
	}
	if len(times) != sent {
		t.Errorf("%d packets of %d", len(times), sent)
	}
}

// TestDeletedIsNotAlive, without waiting for an event.
func TestDeletedIsNotAlive(t *testing.T) {
	ip := pair(t)
	s := open(t, Options{Watch: named("lo"), Lanes: 2})
	defer s.Free()
	defer s.Close()
	a, err := s.attach(index(t, "va"))
	if err != nil || !a.Alive() {
		t.Fatalf("alive %v, %v", err == nil, err)
	}
	ip("link del va")
	if a.Alive() {
		t.Error("alive without an interface")
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.attach(9999); err == nil {
		t.Error("attached to an interface that does not exist")
	}
}

// TestWithoutBPFRights: two capabilities are enough where eBPF is refused. Without them
// the error says which one is missing, and how to give it.
func TestWithoutBPFRights(t *testing.T) {
	if !inOwnNamespace(t) {
		return
	}
	ipCommand(t, "link set lo up\nlink add va type veth peer name vb\nlink set va up\nlink set vb up")
	carrier(t, "va", "vb")
	send := injector(t, "vb")
	runtime.LockOSThread() // for good: the thread ends with the test
	keep(t, unix.CAP_NET_RAW, unix.CAP_NET_ADMIN)
	if err := bpf.Supported(); err == nil {
		t.Error("eBPF works")
	}
	if err := errors.Join(Supported(), CanSpread()); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"va", watch.Any} {
		w := named(name)
		w.Promiscuous = name == "va"
		r := read(t, Options{Watch: w, Lanes: 2})
		send(eth(0x0800, query(name)))
		if list := slices.DeleteFunc(r.end(), func(p got) bool { return p.Direction == packet.DirectionOut }); len(list) != 1 || payload(list[0].Data) != name {
			t.Errorf("%s: %d packets", name, len(list))
		}
	}
	keep(t, unix.CAP_NET_RAW)
	if err := Supported(); err != nil {
		t.Error(err)
	}
	keep(t)
	if err := Supported(); err == nil || !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "missing CAP_NET_RAW") || !strings.Contains(err.Error(), "setcap cap_net_raw") {
		t.Errorf("without rights: %v", err)
	}
}

// keep drops all other capabilities of this thread.
func keep(t *testing.T, capabilities ...int) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	for _, c := range capabilities {
		data[c/32].Effective |= 1 << (c % 32)
	}
	for i := range data {
		data[i].Permitted = data[i].Effective
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
}

// TestErrorsSayWhatToDo: what cannot be provoked here.
func TestErrorsSayWhatToDo(t *testing.T) {
	f := func(err error, words ...string) {
		t.Helper()
		got := explainSocket(err)
		for _, w := range words {
			if !strings.Contains(got.Error(), w) || !errors.Is(got, err) {
				t.Errorf("%v: %v does not say %q", err, got, w)
			}
		}
	}
	f(unix.EAFNOSUPPORT, "modprobe af_packet", "RestrictAddressFamilies")
	f(unix.EMFILE, "packet socket")
	if hasNetRaw() {
		f(unix.EPERM, "seccomp")
	}
}
