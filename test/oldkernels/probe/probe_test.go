//go:build linux

// Package probe_test tests a kernel in the emulator: a program loads, attaches to a veth
// pair by clsact and, if the kernel has it, by TCX, and sees packets. It uses no
// code of the sensor, so that if it fails, the emulator is to blame.
package probe_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dnsmonster-sensor/test/lab/tier"
)

// tcActUnspec passes a packet to the next program, from linux/pkt_cls.h.
const tcActUnspec = -1

func TestClsactSeesPackets(t *testing.T) {
	prog, count := counter(t)
	dev, send := pair(t)
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: dev, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
	if err := netlink.QdiscAdd(qdisc); err != nil {
		t.Fatalf("add clsact qdisc: %v", err)
	}
	err := netlink.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: dev, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1,
		},
		Fd: prog.FD(), Name: "probe", DirectAction: true,
	})
	if err != nil {
		t.Fatalf("add clsact filter: %v", err)
	}
	seen(t, send, count)
}

func TestTCXSeesPackets(t *testing.T) {
	prog, count := counter(t)
	dev, send := pair(t)
	l, err := link.AttachTCX(link.TCXOptions{Interface: dev, Program: prog, Attach: ebpf.AttachTCXIngress, Anchor: link.Head()})
	if errors.Is(err, ebpf.ErrNotSupported) {
		t.Skipf("this kernel has no TCX: %v", err)
	}
	if err != nil {
		t.Fatalf("attach by TCX: %v", err)
	}
	defer l.Close()
	seen(t, send, count)
}

// counter loads a program that counts its packets and lets them pass.
func counter(t *testing.T) (*ebpf.Program, func() uint64) {
	t.Helper()
	tier.Kernel(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root: it loads programs into the kernel")
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		t.Fatalf("make map: %v", err)
	}
	t.Cleanup(func() { m.Close() })
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{
			asm.StoreImm(asm.RFP, -4, 0, asm.Word),
			asm.LoadMapPtr(asm.R1, m.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -4),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, "pass"),
			asm.Mov.Imm(asm.R1, 1),
			asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
			asm.Mov.Imm(asm.R0, tcActUnspec).WithSymbol("pass"),
			asm.Return(),
		},
	})
	if err != nil {
		t.Fatalf("load program: %+v", err)
	}
	t.Cleanup(func() { prog.Close() })
	return prog, func() uint64 {
		var n uint64
		if err := m.Lookup(uint32(0), &n); err != nil {
			t.Fatalf("read map: %v", err)
		}
		return n
	}
}

// pair makes a veth pair. It returns the index of one end, and a function that
// sends a frame from the other.
func pair(t *testing.T) (int, func()) {
	t.Helper()
	a, b := fmt.Sprintf("probe%da", os.Getpid()%10000), fmt.Sprintf("probe%db", os.Getpid()%10000)
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: a}, PeerName: b}); err != nil {
		t.Fatalf("add veth pair: %v", err)
	}
	var indexes [2]int
	for i, name := range []string{a, b} {
		l, err := netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			t.Cleanup(func() { _ = netlink.LinkDel(l) }) // and its peer
		}
		if err := netlink.LinkSetUp(l); err != nil {
			t.Fatalf("set %s up: %v", name, err)
		}
		indexes[i] = l.Attrs().Index
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	frame := append(net.HardwareAddr{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5}, make([]byte, 50)...) // an EtherType for experiments
	return indexes[0], func() {
		if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: indexes[1]}); err != nil {
			t.Fatalf("send frame: %v", err)
		}
	}
}

func seen(t *testing.T, send func(), count func() uint64) {
	t.Helper()
	for range 10 {
		send()
	}
	deadline := time.Now().Add(5 * time.Second)
	for count() < 10 { // the kernel may add packets of its own
		if time.Now().After(deadline) {
			t.Fatalf("the program saw %d of 10 packets", count())
		}
		time.Sleep(10 * time.Millisecond)
	}
}
