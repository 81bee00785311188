//go:build linux

package scenes

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/program"
)

// newVerdictProgram loads a program that always returns value.
func newVerdictProgram(t *testing.T, kind ebpf.ProgramType, value int32) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "neighbour", Type: kind, License: "MIT",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, value), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

const tcOK, xdpPass, xdpDrop = 0, 2, 1

// attachOnServer attaches a program in the server's namespace.
func attachOnServer(t *testing.T, l *lab.Lab, attach func(ifindex int) (link.Link, error)) link.Link {
	t.Helper()
	var made link.Link
	err := l.Server.Do(func() error {
		i, err := net.InterfaceByName(l.Server.Iface)
		if err == nil {
			made, err = attach(i.Index)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { made.Close() })
	return made
}

func attachTCX(t *testing.T, l *lab.Lab, where ebpf.AttachType) link.Link {
	t.Helper()
	return attachOnServer(t, l, func(ifindex int) (link.Link, error) {
		return link.AttachTCX(link.TCXOptions{
			Interface: ifindex, Program: newVerdictProgram(t, ebpf.SchedCLS, tcOK), Attach: where, Anchor: link.Head(),
		})
	})
}

func attachXDP(t *testing.T, l *lab.Lab, value int32) link.Link {
	t.Helper()
	return attachOnServer(t, l, func(ifindex int) (link.Link, error) {
		return link.AttachXDP(link.XDPOptions{Interface: ifindex, Program: newVerdictProgram(t, ebpf.XDP, value)})
	})
}

// askKnot sends queries to Knot, and returns how many queries and responses were
// recorded, and how many queries were sent.
func askKnot(t *testing.T, l *lab.Lab, knot *lab.Knot, p *program.Process) (queries, responses, sent uint64) {
	t.Helper()
	perf, err := l.Dnsperf(context.Background(), lab.Perf{Queries: knot.Zone.Queries(100, 1), Rate: 500, Seconds: 1})
	if err != nil {
		t.Fatal(err)
	}
	p.Stop().Expect(t, program.ExitOK)
	c := program.Count(t, p.RecordsFile)
	return c.Queries4, c.Responses4, perf.Sent
}

// TestTCXNeighbourDoesNotBlind: the sensor attaches ahead of other programs, even if they
// were there first.
func TestTCXNeighbourDoesNotBlind(t *testing.T) {
	t.Parallel()
	lab.Need(t, "dnsperf")
	l := lab.New(t)
	knot := lab.StartKnot(t, l, lab.Zone{Names: 100})
	attachTCX(t, l, ebpf.AttachTCXIngress)
	attachTCX(t, l, ebpf.AttachTCXEgress)
	q, r, sent := askKnot(t, l, knot, program.Attach(t, l.Server))
	if q != sent || r != sent {
		t.Errorf("%d queries and %d responses recorded of %d, beside programs that end the chain", q, r, sent)
	}
}

// TestTCXNeighbourAheadIsNamed: a program that attaches later, at the head, does hide
// traffic from the sensor; check names it.
func TestTCXNeighbourAheadIsNamed(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	program.Attach(t, l.Server)
	attachTCX(t, l, ebpf.AttachTCXIngress)
	out, err := program.Command(l.Server, "check", l.Server.Iface).Output()
	if err != nil || !strings.Contains(string(out), "hidden: TCX program neighbour") {
		t.Errorf("check does not name the program ahead (%v):\n%s", err, out)
	}
}

// TestXDPNeighbour: an XDP program that passes everything hides nothing. Every XDP
// program is named at the start and by check, and makes mode xdp an error.
func TestXDPNeighbour(t *testing.T) {
	lab.Need(t, "dnsperf")
	l := lab.New(t)
	knot := lab.StartKnot(t, l, lab.Zone{Names: 100})
	neighbour := attachXDP(t, l, xdpPass)
	p := program.Attach(t, l.Server)
	if !strings.Contains(p.Log(), "XDP program neighbour") {
		t.Errorf("the start does not name the XDP program:\n%s", p.Log())
	}
	if q, r, sent := askKnot(t, l, knot, p); q != sent || r != sent {
		t.Errorf("%d queries and %d responses recorded of %d, behind an XDP program that passes", q, r, sent)
	}
	cmd := program.Command(l.Server, "attach", l.Server.Iface, "--mode", "xdp")
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != program.ExitUsage || !strings.Contains(string(out), "neighbour") {
		t.Errorf("mode xdp beside an XDP program: exit status %d, want %d and its name:\n%s", code, program.ExitUsage, out)
	}
	neighbour.Close()
	attachXDP(t, l, xdpDrop)
	out, err := program.Command(l.Server, "check", l.Server.Iface, "--json").Output()
	if err != nil || !strings.Contains(string(out), "XDP program neighbour") {
		t.Errorf("check does not name the XDP program (%v):\n%s", err, out)
	}
}
