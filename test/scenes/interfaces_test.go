//go:build linux

package scenes

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/program"
)

// ipCommand returns a function that runs `ip` in a host.
func ipCommand(t *testing.T, host *lab.Host) func(args string) {
	return func(args string) {
		t.Helper()
		host.Run(t, "ip", strings.Fields(args)...)
	}
}

// makeInterface makes a veth interface of a host; the other end is at the peer.
func makeInterface(t *testing.T, host, peer *lab.Host, name string) {
	t.Helper()
	host.Run(t, "ip", "link", "add", "name", name, "type", "veth", "peer", "netns", peer.NS)
}

// sendFrom sends a query for a name from an interface of the host.
func sendFrom(t *testing.T, host *lab.Host, iface, name string) {
	t.Helper()
	m, err := new(dns.Msg).SetQuestion(name+".example.org.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	frame := make([]byte, 14+20+8, 200)
	frame[12], frame[14], frame[23] = 8, 0x45, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(frame[16:], uint16(28+len(m)))
	copy(frame[26:], "\xc0\x00\x02\x01\xc0\x00\x02\x35\x9c\x40\x00\x35")
	binary.BigEndian.PutUint16(frame[38:], uint16(8+len(m)))
	err = host.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		i, err := net.InterfaceByName(iface)
		if err != nil {
			return err
		}
		return unix.Sendto(fd, append(frame, m...), 0, &unix.SockaddrLinklayer{Ifindex: i.Index})
	})
	if err != nil {
		t.Fatalf("send from %s: %v", iface, err)
	}
}

var askedAndWhere = regexp.MustCompile(`"Name":"([a-z0-9]+)\.example\.org\.".*"Interface":"([^"]*)"`)

// recordedInterfaces returns the interfaces of the records by the name in the question.
func recordedInterfaces(p *program.Process) map[string]string {
	p.T.Helper()
	b, err := os.ReadFile(p.RecordsFile)
	if err != nil {
		p.T.Fatal(err)
	}
	found := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		if m := askedAndWhere.FindStringSubmatch(line); m != nil {
			found[m[1]] += m[2]
		}
	}
	return found
}

// expectRecordedOn stops the sensor, and compares its records with pairs of a name and an
// interface.
func expectRecordedOn(p *program.Process, pairs ...string) {
	p.T.Helper()
	p.Stop().Expect(p.T, program.ExitOK)
	got := recordedInterfaces(p)
	for i := 0; i < len(pairs); i += 2 {
		if got[pairs[i]] != pairs[i+1] {
			p.T.Errorf("%s is recorded on %q, want %q", pairs[i], got[pairs[i]], pairs[i+1])
		}
	}
	if len(got) != len(pairs)/2 || p.T.Failed() {
		p.T.Errorf("recorded %v, want %v:\n%s", got, pairs, p.Log())
	}
}

// waitForLogLines waits until n lines on stderr have all of the texts.
func waitForLogLines(p *program.Process, n int, texts ...string) {
	p.T.Helper()
	p.Until(fmt.Sprintf("%q said %d times", texts, n), func() bool { return p.CountLines(texts...) >= n })
}

// renameInterface renames an interface, waits until the sensor says so, and sets it up.
func renameInterface(p *program.Process, ip func(args string), from, to string, says ...string) {
	p.T.Helper()
	ip("link set " + from + " down")
	ip("link set " + from + " name " + to)
	waitForLogLines(p, 1, says...)
	ip("link set " + to + " up")
}

// TestAnyFollowsTheHost, like tcpdump -i any: it captures interfaces that come up later,
// are renamed, are created again, or come from another namespace.
func TestAnyFollowsTheHost(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	ip, away := ipCommand(t, l.Server), ipCommand(t, l.Client)
	makeInterface(t, l.Server, l.Client, "down0")
	p := program.Start(t, l.Server, "attach", "any", "--jsonfields=interface")
	p.WaitForCapture()
	waitForCapture := func(name string, times int) {
		t.Helper()
		waitForLogLines(p, times, `msg="interface is captured"`, "interface="+name+" ")
	}

	sendFrom(t, l.Server, "lo", "loopback")
	ip("link set down0 up") // it existed before
	waitForCapture("down0", 1)
	sendFrom(t, l.Server, "down0", "later")
	makeInterface(t, l.Server, l.Client, "new0")
	ip("link set new0 up")
	waitForCapture("new0", 1)
	sendFrom(t, l.Server, "new0", "new")

	// Records are written when their block is full or a second old: after this.
	renameInterface(p, ip, "new0", "other0", `msg="interface was renamed"`, "interface=other0 was=new0")
	sendFrom(t, l.Server, "other0", "renamed")

	ip("link del other0")
	waitForLogLines(p, 1, `msg="interface is gone"`, "interface=other0")
	makeInterface(t, l.Server, l.Client, "other0")
	ip("link set other0 up")
	waitForCapture("other0", 1)
	sendFrom(t, l.Server, "other0", "again")

	makeInterface(t, l.Client, l.Server, "moved0")
	away("link set moved0 netns " + l.Server.NS)
	ip("link set moved0 up")
	waitForCapture("moved0", 1)
	sendFrom(t, l.Server, "moved0", "moved")
	ip("link set moved0 netns " + l.Client.NS)
	waitForLogLines(p, 1, `msg="interface is gone"`, "interface=moved0")
	away("link set moved0 up")
	sendFrom(t, l.Client, "moved0", "elsewhere")

	expectRecordedOn(p, "loopback", "lo", "later", "down0", "new", "new0", "renamed", "other0", "again", "other0", "moved", "moved0")
	if n := p.CountLines(`msg="interface is captured"`); n != 4 {
		t.Errorf("said %d times that an interface is captured, want 4:\n%s", n, p.Log())
	}
}

// TestAnyWaits while no interface is up, like tcpdump.
func TestAnyWaits(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	ip := ipCommand(t, l.Server)
	ip("link set lo down")
	ip("link set " + l.Server.Iface + " down")
	p := program.Start(t, l.Server, "--devname=any", "--stdoutoutputtype=1", "--jsonfields=interface")
	p.WaitFor("msg=capturing attached=none")
	ip("link set lo up")
	waitForLogLines(p, 1, `msg="interface is captured" interface=lo`)
	sendFrom(t, l.Server, "lo", "loopback")
	expectRecordedOn(p, "loopback", "lo")
	if p.CountLines("no interface is up: waiting for one") != 1 {
		t.Errorf("it does not say that it waits:\n%s", p.Log())
	}
}

// TestAnyStandsAlone: any beside another interface is an error.
func TestAnyStandsAlone(t *testing.T) {
	program.Output(t, program.ExitUsage, "attach: any means all interfaces: name no others", "attach", "any", "lo")
	program.Output(t, program.ExitUsage, "attach: --promiscuous needs interfaces by name", "attach", "any", "--promiscuous")
}

// promiscuityCount is the number of programs that have turned on promiscuous mode.
func promiscuityCount(t *testing.T, host *lab.Host, iface string) (n int) {
	t.Helper()
	err := host.Do(func() error {
		i, err := netlink.LinkByName(iface)
		if err == nil {
			n = i.Attrs().Promisc
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestNamedInterface: a name means the interface that has it now. Until another interface
// gets the name, the one that had it is captured.
func TestNamedInterface(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	ip, away := ipCommand(t, l.Server), ipCommand(t, l.Client)
	makeInterface(t, l.Server, l.Client, "eth0")
	ip("link set eth0 up")
	ip("link property add dev eth0 altname a-name-of-more-than-15-letters")
	p := program.Start(t, l.Server, "attach", "eth0", l.Server.Iface, "--promiscuous", "--jsonfields=interface")
	p.WaitForCapture()
	sendFrom(t, l.Server, "eth0", "first")

	renameInterface(p, ip, "eth0", "old0", `msg="interface was renamed, and is captured until another one has the old name"`, "interface=eth0 is=old0")
	sendFrom(t, l.Server, "old0", "renamed")
	makeInterface(t, l.Server, l.Client, "eth0")
	ip("link set eth0 up")
	waitForLogLines(p, 1, `msg="interface is back"`, "interface=eth0")
	sendFrom(t, l.Server, "old0", "unnamed")
	sendFrom(t, l.Server, "eth0", "second")
	if a, b := promiscuityCount(t, l.Server, "old0"), promiscuityCount(t, l.Server, "eth0"); a != 0 || b != 1 {
		t.Errorf("promiscuity %d and %d, want 0 for the old one and 1 for the new one", a, b)
	}

	ip("link set eth0 netns " + l.Client.NS)
	waitForLogLines(p, 1, "interface is gone, waiting for it to come back", "interface=eth0")
	away("link set eth0 up")
	sendFrom(t, l.Client, "eth0", "moved")
	ip("link set old0 down")
	ip("link set old0 name eth0")
	waitForLogLines(p, 2, `msg="interface is back"`, "interface=eth0")
	ip("link set eth0 up")
	sendFrom(t, l.Server, "eth0", "third")
	if n := promiscuityCount(t, l.Server, "eth0"); n != 1 {
		t.Errorf("promiscuity %d, want 1", n)
	}

	// An interface that gets the name of another captured one is not captured twice.
	ip("link set " + l.Server.Iface + " down")
	ip("link set " + l.Server.Iface + " name spare0")
	waitForLogLines(p, 1, "interface was renamed, and", "is=spare0")
	ip("link set eth0 down")
	ip("link set eth0 name " + l.Server.Iface)
	waitForLogLines(p, 1, `msg="interface has its name again"`, "interface="+l.Server.Iface)
	ip("link set " + l.Server.Iface + " up")
	sendFrom(t, l.Server, l.Server.Iface, "once")

	expectRecordedOn(p, "first", "eth0", "renamed", "old0", "second", "eth0", "third", "eth0", "once", l.Server.Iface)
	if n := promiscuityCount(t, l.Server, l.Server.Iface); n != 0 {
		t.Errorf("promiscuity %d after the end", n)
	}
}

// TestNamesSwapped while both interfaces are captured: nothing is missed, and each stays
// captured.
func TestNamesSwapped(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	ip := ipCommand(t, l.Server)
	names := []string{"eth0", "eth1"}
	for _, name := range names {
		makeInterface(t, l.Server, l.Client, name)
		ip("link set " + name + " up")
	}
	p := program.Start(t, l.Server, "attach", "eth0", "eth1", "--promiscuous", "--jsonfields=interface")
	p.WaitForCapture()
	var want []string
	asks := func(iface, name string) {
		sendFrom(t, l.Server, iface, name)
		want = append(want, name)
	}
	for round := range 10 {
		ip("link set eth0 name spare0")
		asks("spare0", fmt.Sprintf("a%d", round))
		ip("link set eth1 name eth0")
		asks("eth0", fmt.Sprintf("b%d", round))
		asks("spare0", fmt.Sprintf("c%d", round))
		ip("link set spare0 name eth1")
		asks("eth0", fmt.Sprintf("d%d", round))
		asks("eth1", fmt.Sprintf("e%d", round))
	}
	for _, name := range names {
		if n := promiscuityCount(t, l.Server, name); n != 1 {
			t.Errorf("%s: promiscuity %d, want 1", name, n)
		}
	}
	p.Stop().Expect(t, program.ExitOK)
	got := recordedInterfaces(p)
	for _, name := range want {
		if got[name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
	if n := p.CountLines("interface is gone"); n > 0 || t.Failed() {
		t.Errorf("an interface is said %d times to be gone:\n%s", n, p.Log())
	}
}

// TestNamedTwice: an interface given by two of its names is an error, since each packet
// would be recorded twice.
func TestNamedTwice(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	ipCommand(t, l.Server)("link property add dev " + l.Server.Iface + " altname a-name-of-more-than-15-letters")
	p := program.Start(t, l.Server, "attach", l.Server.Iface, "a-name-of-more-than-15-letters")
	r := p.Wait(await.Limit)
	if r.Code != program.ExitUsage || !strings.Contains(r.Log, "interface srv0 is named twice, as srv0 and a-name-of-more-than-15-letters") {
		t.Errorf("exit status %d:\n%s", r.Code, r.Log)
	}
}

// TestCannotBeCaptured: the sensor says so once, however often it tries.
func TestCannotBeCaptured(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	ip := ipCommand(t, l.Server)
	makeInterface(t, l.Server, l.Client, "eth0")
	p := program.Start(t, l.Server, "attach", "eth0", "--jsonfields=interface")
	p.WaitForCapture()
	ip("link del eth0")
	makeUnsupported(t, l.Server, "odd0")
	ip("link set odd0 name eth0")
	p.WaitFor("an interface cannot be captured; it is tried again until it can")
	for range 3 { // each makes the sensor try again
		ip("link set eth0 up")
		ip("link set eth0 down")
	}
	ip("link set eth0 name odd0")
	makeInterface(t, l.Server, l.Client, "eth0")
	ip("link set eth0 up")
	waitForLogLines(p, 1, `msg="interface is captured"`, "interface=eth0")
	sendFrom(t, l.Server, "eth0", "after")
	expectRecordedOn(p, "after", "eth0")
	if n := p.CountLines("cannot be captured"); n != 1 {
		t.Errorf("said %d times:\n%s", n, p.Log())
	}
}

// TestTakenOff: the sensor notices that another program has detached it, says so once,
// and attaches again.
func TestTakenOff(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	f := func(mode, name string, take func()) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			p := program.Start(t, l.Server, "attach", l.Server.Iface, "--mode="+mode, "--jsonfields=interface")
			p.WaitForCapture()
			sendFrom(t, l.Server, l.Server.Iface, "before")
			take()
			waitForLogLines(p, 1, `msg="attached again"`, "interface="+l.Server.Iface)
			sendFrom(t, l.Server, l.Server.Iface, "after")
			expectRecordedOn(p, "before", l.Server.Iface, "after", l.Server.Iface)
			if p.CountLines("another program has detached the sensor, attaching again") != 1 {
				t.Errorf("it is not said once:\n%s", p.Log())
			}
			if got := attachedTo(t, l.Server); got != "" {
				t.Errorf("left after a stop: %q", got)
			}
		})
	}
	f("clsact", "qdisc", func() { l.Server.Run(t, "tc", "qdisc", "del", "dev", l.Server.Iface, "clsact") })
	f("clsact", "filter", func() { l.Server.Run(t, "tc", "filter", "del", "dev", l.Server.Iface, "egress") })
}
