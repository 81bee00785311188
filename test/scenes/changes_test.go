//go:build linux

package scenes

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dnsmonster-sensor/sensor/capture/live"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/test/program"
)

// modesHere lists the modes that this host and this binary have. In make test it lists only
// two: the kernel takes seconds to check the programs of the others.
func modesHere(t *testing.T) (modes []string) {
	t.Helper()
	for _, m := range tier.Length([]live.Mode{live.ModeTCX, live.ModeAFPacket}, live.Modes()[1:]) {
		if err := live.Supported(m); err != nil {
			t.Logf("not tried: mode %s: %v", m, err)
			continue
		}
		modes = append(modes, string(m))
	}
	return modes
}

// change is something that happens to the interface eth0, whose other end is far0 at the
// client, or to eth1, whose other end is far1.
type change struct {
	name string
	do   func(s *changeScene)
	gap  bool     // what passes meanwhile may be missed
	gaps []string // modes that may miss what passes until a moment afterwards, too
}

// changes lists what interfaces survive. After each of them eth0 and eth1 are up.
var changes = []change{
	{name: "MTU", do: func(s *changeScene) {
		s.ip("link set eth0 mtu 1400")
		s.ip("link set eth0 mtu 1500")
	}},
	{name: "down and up", gap: true, gaps: []string{"pcap"}, do: func(s *changeScene) {
		s.ip("link set eth0 down")
		s.ip("link set eth0 up")
	}},
	{name: "renamed and back", do: func(s *changeScene) {
		seen := s.expect("interface was renamed", "x0")
		s.ip("link set eth0 name x0")
		seen()
		s.ip("link set x0 name eth0")
	}},
	{name: "names swapped", do: func(s *changeScene) {
		s.ip("link set eth0 name x0")
		s.ip("link set eth1 name eth0")
		s.ip("link set x0 name eth1")
		s.ip("link set eth0 name x0")
		s.ip("link set eth1 name eth0")
		s.ip("link set x0 name eth1")
	}},
	{name: "away and back", gap: true, do: func(s *changeScene) {
		gone := s.expect("interface is gone")
		s.ip("link set eth0 netns " + s.lab.Client.NS)
		gone()
		s.away("link set eth0 netns " + s.lab.Server.NS)
		s.ip("link set eth0 up")
	}},
	{name: "away and back at once", gap: true, do: func(s *changeScene) {
		s.lab.Server.Run(s.t, "sh", "-c", "ip link set eth0 netns "+s.lab.Client.NS+"; ip netns exec "+s.lab.Client.NS+
			" ip link set eth0 netns "+s.lab.Server.NS+"; ip link set eth0 up")
	}},
	{name: "created again at once", gap: true, do: func(s *changeScene) {
		for range 5 {
			s.lab.Server.Run(s.t, "sh", "-c", "ip link del eth0; ip link add eth0 type veth peer name far0 netns "+s.lab.Client.NS+"; ip link set eth0 up")
		}
		s.away("link set far0 up")
	}},
	{name: "created again", gap: true, do: func(s *changeScene) {
		gone := s.expect("interface is gone")
		s.ip("link del eth0")
		gone()
		s.create("eth0", "far0")
	}},
}

// changeScene is sensors that capture the same interfaces in all modes, and what was sent.
type changeScene struct {
	t        *testing.T
	lab      *lab.Lab
	ip, away func(args string)
	sensors  map[string]*program.Process // by mode

	number int
	may    map[string]map[string]bool   // by mode: names that may be missed
	sent   map[string]map[string]string // by mode, of the others: the interface, "" for any
}

func (s *changeScene) create(name, far string) {
	s.t.Helper()
	s.ip("link add " + name + " type veth peer name " + far + " netns " + s.lab.Client.NS)
	s.ip("link set " + name + " up")
	s.away("link set " + far + " up")
}

// expect returns a function that waits until each sensor says it once more.
func (s *changeScene) expect(texts ...string) (wait func()) {
	before := make(map[*program.Process]int)
	for _, p := range s.sensors {
		before[p] = p.CountLines(texts...)
	}
	return func() {
		s.t.Helper()
		for p, n := range before {
			waitForLogLines(p, n+1, texts...)
		}
	}
}

// sender is a socket that sends queries from an interface, whatever its name is.
type sender struct{ fd, index int }

func (s *changeScene) sender(host *lab.Host, name string) (k sender) {
	s.t.Helper()
	err := host.Do(func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		k.index = link.Attrs().Index
		k.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		s.t.Fatalf("open a socket on %s: %v", name, err)
	}
	return k
}

// query sends a query for a name; port 9 is not watched.
func (k sender) query(name string, port uint16) error {
	m, err := new(dns.Msg).SetQuestion(name+".example.org.", dns.TypeA).Pack()
	if err != nil {
		return err
	}
	frame := make([]byte, 14+20+8, 200)
	copy(frame, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x09")
	frame[12], frame[14], frame[22], frame[23] = 8, 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(frame[16:], uint16(28+len(m)))
	copy(frame[26:], "\xc0\x00\x02\x01\xc0\x00\x02\x35\x9c\x40")
	binary.BigEndian.PutUint16(frame[36:], port)
	binary.BigEndian.PutUint16(frame[38:], uint16(8+len(m)))
	return unix.Sendto(k.fd, append(frame, m...), 0, &unix.SockaddrLinklayer{Ifindex: k.index})
}

// record notes what each mode must or may have of a name.
func (s *changeScene) record(name, iface string, mayMiss func(mode string) bool) {
	for mode := range s.sensors {
		if mayMiss(mode) {
			s.may[mode][name] = true
		} else {
			s.sent[mode][name] = iface
		}
	}
}

// ends are senders on both ends of both wires: packets leave the server and come in.
func (s *changeScene) ends() []sender {
	s.t.Helper()
	return []sender{s.sender(s.lab.Server, "eth0"), s.sender(s.lab.Client, "far0"), s.sender(s.lab.Server, "eth1"), s.sender(s.lab.Client, "far1")}
}

func closeSenders(list []sender) {
	for _, k := range list {
		unix.Close(k.fd)
	}
}

// ask sends queries in both directions, now.
func (s *changeScene) ask(what string, mayMiss func(mode string) bool) {
	s.t.Helper()
	ends := s.ends()
	defer closeSenders(ends)
	for i, k := range ends {
		for n := range 3 {
			name := fmt.Sprintf("%s%d%c%d", what, s.number, 'a'+i, n)
			if err := k.query(name, 53); err != nil {
				s.t.Fatalf("send %s: %v", name, err)
			}
			s.record(name, []string{"eth0", "eth0", "eth1", "eth1"}[i], mayMiss)
		}
	}
}

// during makes a change while queries are sent in both directions.
func (s *changeScene) during(c change) {
	s.t.Helper()
	ends := s.ends()
	defer closeSenders(ends)
	stop := make(chan struct{})
	var sending sync.WaitGroup
	passed, refused := make([][]string, len(ends)), make([][]string, len(ends))
	for i, k := range ends {
		sending.Go(func() {
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for n := 0; ; n++ {
				name := fmt.Sprintf("during%d%c%d", s.number, 'a'+i, n)
				if k.query(name, 53) == nil {
					passed[i] = append(passed[i], name)
				} else {
					refused[i] = append(refused[i], name)
				}
				select {
				case <-stop:
					return
				case <-tick.C:
				}
			}
		})
	}
	c.do(s)
	close(stop)
	sending.Wait()
	for i, names := range passed {
		for _, name := range names {
			s.record(name, "", func(mode string) bool { return c.gap && i < 2 || slices.Contains(c.gaps, mode) })
		}
	}
	for _, name := range slices.Concat(refused...) { // a driver that drops a frame is behind the capture
		s.record(name, "", func(string) bool { return true })
	}
}

// settle waits until frames pass both wires again, in both directions.
func (s *changeScene) settle() {
	s.t.Helper()
	ends := s.ends()
	defer closeSenders(ends)
	for i, k := range ends {
		far := ends[i^1]
		host := []*lab.Host{s.lab.Client, s.lab.Server}[i%2]
		received := func() (n uint64) {
			_ = host.Do(func() error {
				if link, err := netlink.LinkByIndex(far.index); err == nil {
					n = link.Attrs().Statistics.RxPackets
				}
				return nil
			})
			return n
		}
		before := received()
		await.True(s.t, "frames pass the wire", func() bool { return k.query("none", 9) == nil && received() > before })
	}
}

// probe waits until each sensor records what passes eth0 now.
func (s *changeScene) probe() {
	s.t.Helper()
	ends := s.ends()
	defer closeSenders(ends)
	prefix, n := fmt.Sprintf("probe%dx", s.number), 0
	await.True(s.t, "each sensor records what passes", func() bool {
		for i, k := range ends[:2] {
			name := fmt.Sprintf("%s%c%d", prefix, 'a'+i, n)
			if k.query(name, 53) == nil {
				s.record(name, "eth0", func(string) bool { return true })
			}
		}
		n++
		time.Sleep(20 * time.Millisecond) // between two probes
		for _, p := range s.sensors {
			b, err := os.ReadFile(p.RecordsFile)
			if err != nil {
				s.t.Fatal(err)
			}
			if text := string(b); !strings.Contains(text, prefix+"a") || !strings.Contains(text, prefix+"b") {
				return false
			}
		}
		return true
	})
}

// end stops the sensors, and compares their records with what was sent.
func (s *changeScene) end() {
	for _, p := range s.sensors {
		p.Signal(syscall.SIGTERM)
	}
	for mode, p := range s.sensors {
		p.Wait(await.Limit).Expect(s.t, program.ExitOK)
		b, err := os.ReadFile(p.RecordsFile)
		if err != nil {
			s.t.Fatal(err)
		}
		got, missed := make(map[string]string), 0
		for line := range strings.Lines(string(b)) {
			m := askedAndWhere.FindStringSubmatch(line)
			if m == nil {
				s.t.Fatalf("mode %s: not such a record: %s", mode, line)
			}
			name := m[1]
			want, must := s.sent[mode][name]
			switch {
			case got[name] != "":
				s.t.Errorf("mode %s: %s is recorded twice", mode, name)
			case !must && !s.may[mode][name]:
				s.t.Errorf("mode %s: %s is recorded, and was not sent", mode, name)
			case want != "" && want != m[2]:
				s.t.Errorf("mode %s: %s is recorded on %s, want %s", mode, name, m[2], want)
			}
			got[name] = m[2]
		}
		for name := range s.sent[mode] {
			if got[name] == "" {
				s.t.Errorf("mode %s: %s is missing", mode, name)
			}
		}
		for name := range s.may[mode] {
			if got[name] == "" {
				missed++
			}
		}
		s.t.Logf("mode %s: %d queries recorded, %d of %d missed during a change", mode, len(got), missed, len(s.may[mode]))
		if n := p.CountLines("another program has detached the sensor"); n > 0 && mode != "pcap" || s.t.Failed() {
			s.t.Errorf("mode %s: says %d times that another program has taken it off:\n%s", mode, n, p.Log())
		}
	}
}

// TestInterfacesChange: whatever happens to an interface, it is captured in every mode:
// by name, by pattern, and as one of any. What may be missed is what passes while it is
// gone, and until a sensor has seen that it is back.
func TestInterfacesChange(t *testing.T) {
	t.Parallel()
	words := [][]string{{"eth0", "eth1"}, {"e*"}, {"any"}}
	for _, word := range words[:tier.Length(1, len(words))] {
		t.Run(word[0], func(t *testing.T) {
			t.Parallel()
			s := &changeScene{t: t, lab: lab.New(t), sensors: make(map[string]*program.Process), may: make(map[string]map[string]bool), sent: make(map[string]map[string]string)}
			s.ip, s.away = ipCommand(t, s.lab.Server), ipCommand(t, s.lab.Client)
			s.create("eth0", "far0")
			s.create("eth1", "far1")
			for _, mode := range modesHere(t) {
				s.may[mode], s.sent[mode] = make(map[string]bool), make(map[string]string)
				s.sensors[mode] = program.Start(t, s.lab.Server, slices.Concat([]string{"attach", "--mode=" + mode, "--jsonfields=interface"}, word)...)
			}
			for _, p := range s.sensors {
				p.WaitForCapture()
			}
			s.settle()
			for i, c := range changes {
				s.number = i
				s.ask("before", func(string) bool { return false })
				s.during(c)
				s.settle()
				if !c.gap || c.name == "down and up" {
					s.ask("after", func(mode string) bool { return slices.Contains(c.gaps, mode) })
				}
				if c.gap {
					s.probe()
				}
			}
			s.ask("end", func(string) bool { return false })
			s.end()
		})
	}
}
