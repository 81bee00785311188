//go:build linux

package bpf

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// verdictProgram loads a program that returns a constant.
func verdictProgram(t testing.TB, typ ebpf.ProgramType, verdict int32) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:         "neighbour",
		Type:         typ,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, verdict), asm.Return()},
		License:      "MIT",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// The verdicts of verdictProgram.
const (
	tcActUnspec = -1 // next program of the chain
	tcActOK     = 0  // ends the chain
	xdpDrop     = 1
	xdpPass     = 2
	xdpRedirect = 4 // no target: the kernel drops the packet
)

func needTCX(t *testing.T) {
	t.Helper()
	needRoot(t)
	if err := HaveTCX(); errors.Is(err, ebpf.ErrNotSupported) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
}

// needMode skips the test where the kernel does not have a mode.
func needMode(t *testing.T, mode Mode) {
	t.Helper()
	switch mode {
	case ModeTCX:
		needTCX(t)
	case ModeXDP, ModeTap:
		needXDP(t)
	}
}

// Both directions are captured, even after the interface was down, and closing leaves
// nothing behind.
func TestBothDirections(t *testing.T) {
	f := func(mode Mode, wantHooks ...string) {
		t.Run(string(mode), func(t *testing.T) {
			inNamespace(t)
			needMode(t, mode)
			s := newKit(t, Options{XDP: true})
			v0, v1 := veth(t)
			a := s.attach(v0, mode)
			if !slices.Equal(a.Hooks(), wantHooks) || !a.Alive() {
				t.Errorf("hooks %q, alive %v, want %q: %s", a.Hooks(), a.Alive(), wantHooks, a.Describe())
			}
			for round := range uint64(2) {
				send(t, v1, query4(80))
				s.seen(wantHooks[0], round+1)
				rec, data, _ := s.next()
				if rec.Out || int(rec.Ifindex) != v0 || !bytes.Equal(data, query4(80)) {
					t.Errorf("arriving: %+v, %d bytes", rec, len(data))
				}
				send(t, v0, query4(81))
				s.seen(wantHooks[1], round+1)
				rec, data, _ = s.next()
				if !rec.Out || int(rec.Ifindex) != v0 || !bytes.Equal(data, query4(81)) {
					t.Errorf("leaving: %+v, %d bytes", rec, len(data))
				}
				ip(t, "link set v0 down")
				up(t, "v0")
				carrier(t, "v1")
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			wantLines(t, v0)
			send(t, v1, query4(80))
			s.seen(wantHooks[0], 2)
		})
	}
	f(ModeTCX, "tc ingress", "tc egress")
	f(ModeClsact, "tc ingress", "tc egress")
	f(ModeXDP, "xdp", "tc egress")
}

// A packet on lo is captured once, though it passes both hooks.
func TestLoopback(t *testing.T) {
	f := func(mode Mode, hook string) {
		t.Run(string(mode), func(t *testing.T) {
			inNamespace(t)
			needMode(t, mode)
			s := newKit(t, Options{XDP: true})
			a := s.attach(1, mode)
			if !slices.Equal(a.Hooks(), []string{hook}) {
				t.Errorf("hooks %q, want only %q", a.Hooks(), hook)
			}
			send(t, 1, query4(80))
			s.seen(hook, 1)
		})
	}
	f(ModeTCX, "tc ingress")
	f(ModeClsact, "tc ingress")
	f(ModeXDP, "xdp")
}

// After a program that ends the chain we would see nothing.
func TestAheadOfOthers(t *testing.T) {
	inNamespace(t)
	needTCX(t)
	s := newKit(t, Options{})
	v0, v1 := veth(t)
	other := func(where link.Anchor) {
		l, err := link.AttachTCX(link.TCXOptions{
			Interface: v0, Program: verdictProgram(t, ebpf.SchedCLS, tcActOK), Attach: ebpf.AttachTCXIngress, Anchor: where,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	}
	other(nil)
	s.attach(v0, ModeTCX)
	wantLines(t, v0, "ingress, 1 of 2: dnsmonster_in", "ingress, 2 of 2: neighbour", "egress, 1 of 1: dnsmonster_out")
	send(t, v1, query4(80))
	s.seen("tc ingress", 1)

	// Another program may go ahead of ours later: that is reported, and not prevented.
	other(link.Head())
	wantLines(t, v0, "1 of 3: neighbour", "2 of 3: dnsmonster_in", "3 of 3: neighbour", "egress")
	send(t, v1, query4(80))
	s.seen("tc ingress", 1)
}

const attachEnv = "DNSMONSTER_TEST_ATTACH"

// TestMain is also the main function of the process that attachAndKill starts.
func TestMain(m *testing.M) {
	if what := os.Getenv(attachEnv); what != "" {
		if err := attachUntilKilled(what); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func attachUntilKilled(what string) error {
	var ifindex int
	var mode Mode
	if _, err := fmt.Sscan(what, &ifindex, &mode); err != nil {
		return err
	}
	k, err := Load(Options{Ports: []uint16{53}, Rings: 1, RingBytes: MinRingBytes, XDP: mode == ModeXDP, Tap: mode == ModeTap})
	if err != nil {
		return err
	}
	if _, err := k.Attach(ifindex, mode); err != nil {
		return err
	}
	fmt.Println("attached")
	time.Sleep(time.Minute)
	return errors.New("not killed")
}

// attachAndKill attaches in another process, calls during while that process runs, and
// kills it.
func attachAndKill(t *testing.T, ifindex int, mode Mode, during func()) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", attachEnv, ifindex, mode))
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 9)
	if _, err := out.Read(line); err != nil || string(line) != "attached\n" {
		t.Errorf("the other process says %q, %v", line, err)
	}
	during()
	c.Process.Kill()
	c.Wait()
}

func TestStaleFilters(t *testing.T) {
	const ours = "dnsmonster-sensor, bpf, priority 1"
	f := func(name string, mode Mode, qdiscBefore bool) {
		t.Run(name, func(t *testing.T) {
			inNamespace(t)
			needMode(t, mode)
			s := newKit(t, Options{})
			v0, v1 := veth(t)
			if qdiscBefore {
				tcCommand(t, "qdisc add dev v0 clsact")
			}
			attachAndKill(t, v0, ModeClsact, func() {
				beside := s.attach(v0, ModeClsact)
				wantLines(t, v0, ours, ours, ours, ours)
				if err := beside.Close(); err != nil {
					t.Error(err)
				}
				wantLines(t, v0, ours, ours)
			})
			wantLines(t, v0, ours, ours)
			a := s.attach(v0, mode)
			if mode == ModeTCX {
				wantLines(t, v0, "tcx ingress, 1 of 1", "tcx egress, 1 of 1")
			} else {
				wantLines(t, v0, ours, ours)
			}
			send(t, v1, query4(80))
			s.seen("tc ingress", 1)
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			wantLines(t, v0)
			out, _ := exec.Command("tc", "qdisc", "show", "dev", "v0").Output()
			if got := strings.Contains(string(out), "clsact"); got != qdiscBefore {
				t.Errorf("qdisc there: %v, before: %v", got, qdiscBefore)
			}
		})
	}
	f("clsact", ModeClsact, false)
	f("clsact, qdisc of others", ModeClsact, true)
	f("tcx", ModeTCX, false)
}

// Filters of others in a qdisc that we added stay, and so does the qdisc.
func TestClsactKeepsFiltersOfOthers(t *testing.T) {
	inNamespace(t)
	s := newKit(t, Options{})
	v0, v1 := veth(t)
	a := s.attach(v0, ModeClsact)
	addFilter(t, neighbourFilter(t, v0, 5, 1))
	wantLines(t, v0, "ingress: dnsmonster-sensor", "ingress: neighbour, bpf, priority 5", "egress: dnsmonster-sensor")
	send(t, v1, query4(80))
	s.seen("tc ingress", 1)
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	wantLines(t, v0, "ingress: neighbour")
}

func TestXDPBesideAnother(t *testing.T) {
	needXDP(t)
	inNamespace(t)
	s := newKit(t, Options{XDP: true})
	v0, _ := veth(t)
	l, err := link.AttachXDP(link.XDPOptions{Program: verdictProgram(t, ebpf.XDP, xdpPass), Interface: v0})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = s.k.Attach(v0, ModeXDP)
	if !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "neighbour (id ") {
		t.Errorf("error %v, want one that names the other program", err)
	}
	wantLines(t, v0, "xdp (native): neighbour (id ")
}

func TestXDPNotLoaded(t *testing.T) {
	inNamespace(t)
	s := newKit(t, Options{})
	v0, _ := veth(t)
	if _, err := s.k.Attach(v0, ModeXDP); err == nil {
		t.Error("attached a program that is not loaded")
	}
	if _, err := s.k.Attach(v0, ModeTap); err == nil {
		t.Error("attached a tap that is not loaded")
	}
	if _, err := s.k.Attach(v0, "none"); err == nil {
		t.Error("attached in no mode")
	}
}

func TestInterfaceGone(t *testing.T) {
	f := func(mode Mode) {
		t.Run(string(mode), func(t *testing.T) {
			inNamespace(t)
			needMode(t, mode)
			s := newKit(t, Options{XDP: true})
			v0, _ := veth(t)
			a := s.attach(v0, mode)
			ip(t, "link del v0")
			if a.Alive() {
				t.Error("alive without an interface")
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			if _, err := s.k.Attach(v0, mode); err == nil {
				t.Error("attached to an interface that is gone")
			}
		})
	}
	f(ModeTCX)
	f(ModeClsact)
	f(ModeXDP)
}

// A process may load, drop all capabilities, and only then attach.
func TestWithoutRights(t *testing.T) {
	inNamespace(t)
	needTCX(t)
	s := newKit(t, Options{XDP: true})
	v0, v1 := veth(t)
	out, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(out)

	dropCapabilities(t)
	missing := "missing CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN"
	if _, err := Load(Options{Ports: []uint16{53}, Rings: 1, RingBytes: MinRingBytes}); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("error %v, want %q", err, missing)
	}
	if err := Supported(); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("supported: %v, want %q", err, missing)
	}
	for i, mode := range []Mode{ModeTCX, ModeXDP} {
		a := s.attach(v0, mode)
		if err := unix.Sendto(out, query4(80), 0, &unix.SockaddrLinklayer{Ifindex: v0}); err != nil {
			t.Fatal(err)
		}
		if err := unix.Sendto(out, query4(80), 0, &unix.SockaddrLinklayer{Ifindex: v1}); err != nil {
			t.Fatal(err)
		}
		s.seen(a.Hooks()[0], 1)
		s.seen("tc egress", uint64(i)+1)
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

// dropCapabilities drops the capabilities of this thread only, which ends with the test.
func dropCapabilities(t *testing.T) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		t.Fatal(err)
	}
}

// A program that others detach, as `bpftool link detach` does, is no longer alive.
func TestDetachedByOthers(t *testing.T) {
	s := newKit(t, Options{XDP: true})
	f := func(mode Mode, program string) {
		t.Run(string(mode), func(t *testing.T) {
			inNamespace(t)
			needMode(t, mode)
			v0, v1 := veth(t)
			a := s.attach(v0, mode)
			info, err := s.program(program).Info()
			if err != nil {
				t.Fatal(err)
			}
			ours, _ := info.ID()
			detached := 0
			for it := new(link.Iterator); it.Next(); {
				if info, err := it.Link.Info(); err == nil && info.Program == ours {
					if err := it.Link.Detach(); err != nil {
						t.Fatal(err)
					}
					detached++
				}
			}
			if detached != 1 || a.Alive() {
				t.Errorf("%d links detached, alive %v", detached, a.Alive())
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			before := s.counters(hookOf(program)).value("seen")
			s.attach(v0, mode)
			send(t, v1, query4(80))
			s.seen(hookOf(program), before+1)
		})
	}
	f(ModeTCX, sensorProgTcIngressEth)
	f(ModeXDP, sensorProgXdpEth)
}
