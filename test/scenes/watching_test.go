//go:build linux

package scenes

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/test/program"
)

// TestWaits: an interface that does not exist yet is captured when it comes. A sensor whose
// last interface is gone waits, too (defect 16).
func TestWaits(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	ip := ipCommand(t, l.Server)
	p := program.Start(t, l.Server, "attach", "eth7", "w*", "--wait", "--jsonfields=interface")
	p.WaitFor(`msg="waiting for interfaces eth7, w*"`)
	makeInterface(t, l.Server, l.Client, "w0")
	ip("link set w0 up")
	waitForLogLines(p, 1, `msg="interface is captured"`, "interface=w0 ")
	sendFrom(t, l.Server, "w0", "first")
	ip("link del w0")
	waitForLogLines(p, 1, `msg="interface is gone"`, "interface=w0")
	makeInterface(t, l.Server, l.Client, "eth7")
	ip("link set eth7 up")
	waitForLogLines(p, 1, `msg="interface is captured"`, "interface=eth7 ")
	sendFrom(t, l.Server, "eth7", "second")
	ip("link del eth7") // the last one
	waitForLogLines(p, 1, "interface is gone, waiting for it to come back", "interface=eth7")
	makeInterface(t, l.Server, l.Client, "eth7")
	ip("link set eth7 up")
	waitForLogLines(p, 1, `msg="interface is back"`, "interface=eth7 ")
	sendFrom(t, l.Server, "eth7", "third")
	expectRecordedOn(p, "first", "w0", "second", "eth7", "third", "eth7")

	// With a limit, which is for the first one only.
	p = program.Start(t, l.Server, "attach", "eth8", "--wait=300ms")
	if r := p.Wait(await.Limit); r.Code != program.ExitUsage && r.Code != program.ExitFailure || !strings.Contains(r.Log, "after 300ms still no interface eth8 (there are: ") {
		t.Errorf("exit status %d:\n%s", r.Code, r.Log)
	}
	p = program.Start(t, l.Server, "attach", "eth7", "eth8", "--wait=300ms", "--jsonfields=interface")
	p.WaitFor(`msg="still waiting for interface eth8" after=300ms`)
	sendFrom(t, l.Server, "eth7", "fourth")
	expectRecordedOn(p, "fourth", "eth7")
	p = program.Start(t, l.Server, "attach", "eth8", "--wait=1h")
	p.WaitFor(`msg="waiting for interface eth8"`)
	p.Stop() // at once
}

// queryFrame is a query as the client's end of a wire sends it: to the server's address,
// perhaps with a VLAN tag.
func queryFrame(name string, id uint16, tag []byte) []byte {
	m := lab.Query{Name: name + ".example.org", Type: "A"}.Message()
	ip := make([]byte, 28, 200)
	ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(ip[2:], uint16(28+len(m)))
	binary.BigEndian.PutUint16(ip[4:], id)
	copy(ip[12:], "\xc0\x00\x02\x02\xc0\x00\x02\x01\x9c\x40\x00\x35")
	binary.BigEndian.PutUint16(ip[24:], uint16(8+len(m)))
	var sum uint32 // bridges drop packets whose header is wrong
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum+sum>>16))
	return bytes.Join([][]byte{[]byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x02"), tag, {8, 0}, ip, m}, nil)
}

// TestPacketsThatPassTwice are recorded on each captured interface, which is said, or once
// with --dedup: on a bridge and its port, with a VLAN tag on one side only, and on both ends
// of a veth pair.
func TestPacketsThatPassTwice(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	ip := ipCommand(t, l.Server)
	ip("link add name br0 type bridge mcast_snooping 0")
	for _, name := range []string{"eth0", "eth1"} {
		makeInterface(t, l.Server, l.Client, name)
		ip("link set " + name + " master br0 up")
	}
	ip("link set br0 up")
	ip("link add name v0 type veth peer name v1")
	ip("link set v0 up")
	ip("link set v1 up")
	filtering := exec.Command("ip", "-n", l.Server.NS, "link", "set", "br0", "type", "bridge", "vlan_filtering", "1").Run() == nil
	if filtering {
		l.Server.Run(t, "bridge", "vlan", "add", "dev", "eth0", "vid", "42")
		l.Server.Run(t, "bridge", "vlan", "add", "dev", "eth1", "vid", "42", "pvid", "untagged")
	} else {
		t.Log("not tried: this kernel's bridges know no VLANs")
	}
	farOf := func(name string) string { // the other end at the client has the same number
		out, err := exec.Command("ip", "-n", l.Client.NS, "-o", "link", "show", "type", "veth").Output()
		if err != nil {
			t.Fatal(err)
		}
		index := strings.TrimSpace(string(mustOutput(t, "ip", "netns", "exec", l.Server.NS, "cat", "/sys/class/net/"+name+"/iflink")))
		for line := range strings.Lines(string(out)) {
			if number, rest, _ := strings.Cut(line, ": "); number == index {
				far, _, _ := strings.Cut(rest, "@")
				return far
			}
		}
		t.Fatalf("no other end of %s in:\n%s", name, out)
		return ""
	}
	far := farOf("eth0")
	ipCommand(t, l.Client)("link set " + far + " up")
	ipCommand(t, l.Client)("link set " + farOf("eth1") + " up")
	send := func(host *lab.Host, iface string, frame []byte) {
		t.Helper()
		s := &changeScene{t: t, lab: l}
		k := s.sender(host, iface)
		defer unix.Close(k.fd)
		if err := unix.Sendto(k.fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: k.index}); err != nil {
			t.Fatalf("send from %s: %v", iface, err)
		}
	}
	ready := &changeScene{t: t, lab: l}
	noise := ready.sender(l.Client, far)
	defer unix.Close(noise.fd)
	quiet := queryFrame("none", 6, nil)
	quiet[37] = 9 // a port that is not watched
	read := func(file string) string {
		return strings.TrimSpace(string(mustOutput(t, "ip", "netns", "exec", l.Server.NS, "cat", "/sys/class/net/"+file)))
	}
	await.True(t, "the bridge forwards", func() bool {
		const forwarding = "3"
		before := read("br0/statistics/rx_packets")
		return read("eth0/brport/state") == forwarding && unix.Sendto(noise.fd, quiet, 0, &unix.SockaddrLinklayer{Ifindex: noise.index}) == nil && read("br0/statistics/rx_packets") != before
	})
	f := func(note string, interfaces []string, name string, from func(name string), dedup bool) {
		t.Helper()
		args := append([]string{"attach"}, interfaces...)
		want := len(interfaces)
		if dedup {
			args, want = append(args, "--dedup"), 1
		}
		p := program.Start(t, l.Server, append(args, "--jsonfields=interface")...)
		p.WaitForCapture()
		from(name)
		p.Stop().Expect(t, program.ExitOK)
		b, err := os.ReadFile(p.RecordsFile)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(b, []byte(`"Name":"`+name+`.example.org."`)); n != want {
			t.Errorf("%q, dedup %v: %s is recorded %d times, want %d:\n%s\n%s", interfaces, dedup, name, n, want, b, p.Log())
		}
		if said := p.CountLines("packets pass " + note + ": each is recorded on both"); said == 1 == dedup || dedup && p.CountLines("packets pass") > 0 {
			t.Errorf("%q, dedup %v: the note about %s:\n%s", interfaces, dedup, note, p.Log())
		}
	}
	for _, dedup := range []bool{false, true} {
		f("br0 and eth0", []string{"eth0", "br0"}, "bridge", func(name string) { send(l.Client, far, queryFrame(name, 7, nil)) }, dedup)
		f("v1 and v0", []string{"v0", "v1"}, "pair", func(name string) { send(l.Server, "v0", queryFrame(name, 8, nil)) }, dedup)
		f("br0 and eth0", []string{"eth0", "br0"}, "down", func(name string) { send(l.Server, "br0", queryFrame(name, 9, nil)) }, dedup)
	}
	if filtering {
		p := program.Start(t, l.Server, "attach", "eth0", "eth1", "--dedup", "--jsonfields=interface,vlan")
		p.WaitForCapture()
		send(l.Client, far, queryFrame("tagged", 10, []byte{0x81, 0, 0, 42}))
		p.Stop().Expect(t, program.ExitOK)
		if r := p.Log(); strings.Count(strings.Join(p.Records(), "\n"), "tagged.example.org") != 1 || !strings.Contains(r, "duplicate 1") {
			t.Errorf("a copy with a VLAN tag and one without:\n%s\n%s", p.Records(), r)
		}
	}
}

func mustOutput(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s %s: %v", name, args, err)
	}
	return out
}

// TestNamespaceDeleted while the sensor captures in it, in every mode: the kernel takes the
// interface away whose other end has gone. The sensor goes on with what is left, does not
// spin, and stops with all ledgers balanced.
func TestNamespaceDeleted(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	s := &changeScene{t: t, lab: l, ip: ipCommand(t, l.Server), away: ipCommand(t, l.Client)}
	s.create("eth0", "far0")
	s.create("eth1", "far1")
	s.settle()
	var list []*program.Process
	for _, mode := range soakModes(t) {
		interfaces := []string{"eth0", "lo"}
		if mode == "xdp" { // on lo it would be a neighbour of the others
			interfaces = interfaces[:1]
		}
		list = append(list, program.Start(t, l.Server, append([]string{"attach", "--mode=" + mode, "--jsonfields=interface"}, interfaces...)...))
	}
	for _, p := range list {
		p.WaitForCapture()
	}
	sendFrom(t, l.Server, "eth0", "before")
	lo := s.sender(l.Server, "lo") // a socket keeps its namespace
	defer unix.Close(lo.fd)
	for _, ns := range []string{l.Client.NS, l.Server.NS} {
		if out, err := exec.Command("ip", "netns", "delete", ns).CombinedOutput(); err != nil {
			t.Fatalf("%s: %s", err, out)
		}
	}
	for _, p := range list {
		waitForLogLines(p, 1, "interface is gone, waiting for it to come back", "interface=eth0")
	}
	if err := lo.query("after", 53); err != nil {
		t.Fatal(err)
	}
	var ticks []int
	for _, p := range list {
		ticks = append(ticks, ticksOf(t, p))
	}
	for _, p := range list {
		if captures(p, "lo") {
			p.WaitForRecords(2)
		}
	}
	time.Sleep(time.Second) // the time over which processor time is measured
	for i, p := range list {
		if used := ticksOf(t, p) - ticks[i]; used > 50 {
			t.Errorf("%q used %d hundredths of a second while nothing came", p.Cmd.Args, used)
		}
		if captures(p, "lo") {
			expectRecordedOn(p, "before", "eth0", "after", "lo")
		} else {
			expectRecordedOn(p, "before", "eth0")
		}
	}
}

// captures reports whether a sensor was started on an interface.
func captures(p *program.Process, iface string) bool { return slices.Contains(p.Cmd.Args, iface) }

// ticksOf is the processor time of a process, in hundredths of a second.
func ticksOf(t *testing.T, p *program.Process) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')'):]))
	user, err1 := strconv.Atoi(fields[12])
	system, err2 := strconv.Atoi(fields[13])
	if err1 != nil || err2 != nil {
		t.Fatalf("no times in %s", b)
	}
	return user + system
}

// TestSoakInterfaces captures 20,000 queries a second for a quarter of an hour in each mode,
// while interfaces come and go: memory does not grow, and every query is accounted for.
func TestSoakInterfaces(t *testing.T) {
	tier.ByHand(t, tier.Soak)
	length := 15 * time.Minute
	if d, err := time.ParseDuration(os.Getenv("SENSOR_TEST_LENGTH")); err == nil { // by hand
		length = d
	}
	for _, mode := range soakModes(t) {
		t.Run(mode, func(t *testing.T) { soakInterfaces(t, mode, length) })
	}
}

// soakModes are modesHere, or one that a variable names.
func soakModes(t *testing.T) []string {
	if mode := os.Getenv("SENSOR_TEST_MODE"); mode != "" {
		return []string{mode}
	}
	return modesHere(t)
}

func soakInterfaces(t *testing.T, mode string, length time.Duration) {
	l := lab.New(t)
	f := flow(t, l, 20_000, 1<<30)
	p := program.Start(t, l.Server, "attach", l.Server.Iface, "d*", "--wait", "--mode="+mode, "--nulloutputtype=1")
	p.WaitForCapture()
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var changing sync.WaitGroup
	cycles := 0
	changing.Go(func() {
		for ; ctx.Err() == nil; cycles++ {
			l.Server.Run(t, "sh", "-c", "ip link add d0 up type veth peer name x0; ip link add d1 up type veth peer name x1; ip link set d1 mtu 1400; ip link set d1 down; ip link set d1 name d7; ip link set d7 up; ip link del d0; ip link del d7")
		}
	})
	var memory []int
	changing.Go(func() {
		for tick := time.NewTicker(length / 10); ; {
			select {
			case <-tick.C:
				memory = append(memory, residentMB(t, p.Cmd.Process.Pid))
			case <-ctx.Done():
				return
			}
		}
	})
	sent, err := f.Send(ctx)
	changing.Wait()
	if err != nil {
		t.Fatal(err)
	}
	r := p.Stop()
	lost := r.ExpectCounted(t)
	if got := r.Sum("message", "event"); got+lost != sent.Packets {
		t.Errorf("%d recorded, %d lost, %d sent", got, lost, sent.Packets)
	}
	if first, last := memory[0], memory[len(memory)-1]; last > first+first/4 {
		t.Errorf("memory grew: %d MiB", memory)
	}
	t.Logf("%d queries, %d lost and counted, %d times two interfaces; memory %d MiB", sent.Packets, lost, cycles, memory)
}
