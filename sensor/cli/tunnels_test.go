//go:build linux

package cli

import (
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/program"
)

func TestParseDecap(t *testing.T) {
	f := func(want string, values ...string) {
		t.Helper()
		kinds, err := parseDecap(values)
		if got := fmt.Sprint(kinds, err); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s, want %s", values, got, want)
		}
	}
	f("[] <nil>")
	f("[1] <nil>", "vxlan")
	f("[1 4] <nil>", "vxlan,gre")
	f("[1 4] <nil>", "gre", "vxlan")
	f("[1 4 31] <nil>", "GRE, vxlan", "pppoe,gre")
	f("[1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 31] <nil>", "all,vxlan")
	f(`[] unknown kind of tunnel "vlan": use all, vxlan, vxlan-gpe, geneve, gre, erspan, ipip, 6in4, 4in6, 6in6, teredo, gtp, mpls, `+
		`gre-udp, mpls-udp, tzsp, l2tp, nsh, lisp, etherip, pbb, trill, fabricpath or pppoe`, "vxlan,vlan")
	f(`[] unknown kind of tunnel "": use all`, "vxlan,")
}

func TestParseTunnelPorts(t *testing.T) {
	f := func(want string, values ...string) {
		t.Helper()
		ports, err := parseTunnelPorts(values)
		if got := fmt.Sprint(ports, err); !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %s", values, got, want)
		}
	}
	const others = "{4754 gre-udp} {4755 gre-udp} {6635 mpls-udp} {37008 tzsp} {1701 l2tp} {4341 lisp}] <nil>"
	f("[{4789 vxlan} {8472 vxlan} {4790 vxlan-gpe} {6081 geneve} {3544 teredo} {2152 gtp} " + others)
	f("[{5000 vxlan} {4790 vxlan-gpe} {6081 geneve} {3544 teredo} {2152 gtp} "+others, "vxlan:5000")
	f("[{5000 vxlan} {4789 vxlan} {6000 gtp} {4790 vxlan-gpe} {6081 geneve} {3544 teredo} "+others, "vxlan:5000,vxlan:4789", "GTP:6000")
	f("[{4789 geneve} {8472 vxlan} {4790 vxlan-gpe} {3544 teredo} {2152 gtp} "+others, "geneve:4789") // no port has two meanings
	f(`"gre:47": use KIND:PORT with one of vxlan, vxlan-gpe, geneve, teredo, gtp, gre-udp, mpls-udp, tzsp, l2tp, lisp`, "gre:47")
	f(`"vxlan": a port is a number from 1 to 65535`, "vxlan")
	f("a port is a number", "vxlan:0")
	f("a port is a number", "vxlan:65536")
	f(`"gtp:4789": the port is vxlan's already`, "vxlan:4789,gtp:4789")
	var many []string
	for port := range 23 {
		many = append(many, fmt.Sprintf("vxlan:%d", port+1))
	}
	f("33 ports with the usual ones of other tunnels, at most 32", many...)
}

// TestDecodeOptionsAreChecked before anything is opened.
func TestDecodeOptionsAreChecked(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		err := perform(newApp(io.Discard, io.Discard), append([]string{"dnsmonster-sensor", "replay", "/no/such/file"}, args...), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", args, err, want)
		}
	}
	f("--tunnelport vxlan:53: --port says that it carries DNS", "--tunnelport=vxlan:53")
	f("--tunnelport vxlan:5353: --port says", "--tunnelport=vxlan:5353", "--port=53", "--port=5353")
	f("--defragmb 0: use 3, which is 1 for each worker, to 65536", "--defragmb=0", "--workers=3")
	f("--tcpmb 65537: use 1", "--tcpmb=65537", "--workers=1")
	f("no such file", "--tunnelport=vxlan:5353", "--tunnelport=vxlan:4789", "--defragmb=3", "--tcpmb=3", "--workers=3")
}

// TestBoundsAreShared: all workers together stay within the options' limits.
func TestBoundsAreShared(t *testing.T) {
	for _, workers := range []int{1, 3, 64} {
		o := newCaptureOptions(nil)
		o.workers, o.decode.defragMB, o.decode.tcpMB, o.decode.gctime = workers, 100, 300, 10e9
		c := (&session{}).workerConfig(o, input{}, nil)
		if got := c.Defrag.Bytes * workers; got > 100<<20 || got < 100<<20-workers {
			t.Errorf("%d workers: %d bytes for fragments", workers, got)
		}
		if got := c.TCP.Bytes * workers; got > 300<<20 || got < 300<<20-workers {
			t.Errorf("%d workers: %d bytes for streams", workers, got)
		}
	}
}

// TestCheckReportsTunnels: check says what a capture without --decap does not see, and
// which interfaces need no --decap.
func TestCheckReportsTunnels(t *testing.T) {
	host := lab.New(t).Server
	if out, err := host.Command(t.Context(), "ip", "link", "add", "vx0", "type", "vxlan", "id", "7", "remote", "192.0.2.2", "dstport", "4789", "dev", host.Iface).CombinedOutput(); err != nil {
		t.Skipf("this kernel makes no VXLAN interface: %s", out)
	}
	out, err := program.Command(host, "check").Output()
	if _, failed := err.(*exec.ExitError); err != nil && !failed {
		t.Fatal(err)
	}
	for _, want := range []string{"\ntunnels: ", "or below it with --decap", "vx0: vxlan", "it carries the contents of a tunnel"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("check does not say %q:\n%s", want, out)
		}
	}
}
