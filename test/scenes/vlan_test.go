//go:build linux

package scenes

import (
	"encoding/binary"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"dnsmonster-sensor/test/lab"
)

// tag is a VLAN tag. A TCI has the priority, the drop eligible indicator and the VLAN's
// number, 0 if the tag has only a priority.
type tag struct{ kind, tci uint16 }

// taggedQuery is a query with tags. The outermost is beside the bytes, as from a network
// card that takes it out, if beside is set.
type taggedQuery struct {
	name   string
	beside bool
	tags   []tag
}

const customer, service = 0x8100, 0x88a8 // 802.1Q and 802.1ad

// taggedQueries are tags as they are seen in networks.
func taggedQueries() (list []taggedQuery) {
	for name, tags := range map[string][]tag{
		"customer":      {{customer, 7}},
		"service":       {{service, 7}},
		"priority":      {{customer, 0xa000}},
		"zero":          {{customer, 0}},
		"servicezero":   {{service, 0}},
		"dei":           {{customer, 0x1007}},
		"servicedei":    {{service, 0x100b}},
		"deialone":      {{customer, 0x1000}},
		"all":           {{customer, 0xffff}},
		"qinq":          {{service, 0x3009}, {customer, 8}},
		"twocustomers":  {{customer, 9}, {customer, 8}},
		"twoservices":   {{service, 9}, {service, 8}},
		"priorityofone": {{customer, 0xe000}, {customer, 8}},
		"three":         {{service, 10}, {service, 9}, {customer, 8}},
		"four":          {{service, 11}, {service, 10}, {customer, 9}, {customer, 8}},
	} {
		list = append(list, taggedQuery{name, false, tags}, taggedQuery{"beside" + name, true, tags})
	}
	slices.SortFunc(list, func(a, b taggedQuery) int { return strings.Compare(a.name, b.name) })
	return append(list, taggedQuery{name: "none"})
}

// vlan is the number that a record has of tags, or -1.
func vlan(tags []tag) int {
	if len(tags) == 0 {
		return -1
	}
	return int(tags[0].tci & 0x0fff)
}

// tagger makes all that a host sends with a mark carry the mark's tag beside its bytes. It
// stands before programs that were attached before it.
func tagger(t *testing.T, host *lab.Host) {
	t.Helper()
	const markOffset, next = 8, -1
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "tagger", Type: ebpf.SchedCLS, License: "MIT",
		Instructions: asm.Instructions{
			asm.LoadMem(asm.R3, asm.R1, markOffset, asm.Word),
			asm.JEq.Imm(asm.R3, 0, "out"),
			asm.Mov.Imm(asm.R2, int32(networkOrder(customer))),
			asm.Mov.Reg(asm.R4, asm.R3),
			asm.And.Imm(asm.R4, serviceMark),
			asm.JEq.Imm(asm.R4, 0, "push"),
			asm.Mov.Imm(asm.R2, int32(networkOrder(service))),
			asm.And.Imm(asm.R3, 0xffff).WithSymbol("push"),
			asm.FnSkbVlanPush.Call(),
			asm.Mov.Imm(asm.R0, next).WithSymbol("out"),
			asm.Return(),
		},
	})
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() { p.Close() })
	err = host.Do(func() error {
		i, err := net.InterfaceByName(host.Iface)
		if err != nil {
			return err
		}
		l, err := link.AttachTCX(link.TCXOptions{Interface: i.Index, Program: p, Attach: ebpf.AttachTCXEgress, Anchor: link.Head()})
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func networkOrder(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// Marks of packets that get a tag.
const (
	tagMark     = 1 << 16
	serviceMark = 1 << 17
)

// send sends the query from a host, for the name with a prefix.
func (q taggedQuery) send(t *testing.T, host *lab.Host, prefix string) {
	t.Helper()
	m, err := new(dns.Msg).SetQuestion(prefix+q.name+".example.org.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	tags, mark := q.tags, 0
	if q.beside {
		if mark = tagMark | int(tags[0].tci); tags[0].kind == service {
			mark |= serviceMark
		}
		tags = tags[1:]
	}
	frame := slices.Clone(outerMAC)
	for _, tag := range tags {
		frame = append(frame, bigEndian(tag.kind, tag.tci)...)
	}
	frame = append(frame, over4(host, unix.IPPROTO_UDP, whole, inUDP(40000, 53, nil, m))[0][len(outerMAC):]...)
	err = host.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		i, err := net.InterfaceByName(host.Iface)
		if err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, mark); err != nil {
			return err
		}
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: i.Index})
	})
	if err != nil {
		t.Fatalf("send %s: %v", q.name, err)
	}
}

var askedAndVLAN = regexp.MustCompile(`"Name":"([a-z]+)\.example\.org\.".*"Direction":"(in|out)"(?:,"VLAN":(\d+))?`)

// recordedVLANs returns the VLAN of each record, or -1, by its direction and name.
func recordedVLANs(t *testing.T, lines []string) map[string]int {
	t.Helper()
	found := make(map[string]int)
	for _, line := range lines {
		m := askedAndVLAN.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("not of this scene: %s", line)
		}
		key, number := m[2]+" "+m[1], -1
		if m[3] != "" {
			fmt.Sscan(m[3], &number)
		}
		if _, twice := found[key]; twice {
			t.Errorf("%s is recorded twice", key)
		}
		found[key] = number
	}
	return found
}

// TestVLANTags: a record has the outermost VLAN, wherever the kernel keeps its tag, in every
// mode, also through any, and in a file of tcpdump. Only XDP cannot see a tag beside the
// bytes; it sees all where the sender's driver puts tags into the bytes.
func TestVLANTags(t *testing.T) {
	t.Parallel()
	lab.Need(t, "ethtool", "tcpdump")
	l := lab.New(t)
	ways := everyWay()
	list := observe(t, l, ways)
	var onAny []*observer
	for _, w := range ways {
		if w.mode != "xdp" && w.mode != "clsact" { // whose programs are on the interface already
			onAny = append(onAny, observeOn(t, l.Server, "any", w))
		}
	}
	waitForAll(onAny)
	end := recordWire(t, l, l.Server.Iface)
	for _, h := range []*lab.Host{l.Server, l.Client} {
		tagger(t, h)
	}
	want := make(map[string]int)
	hidden := make(map[string]int) // what XDP sees of what comes in, where it differs
	for _, offload := range []string{"on", "off"} {
		for _, h := range []*lab.Host{l.Server, l.Client} {
			h.Run(t, "ethtool", "-K", h.Iface, "txvlan", offload, "rxvlan", offload, "tx-vlan-stag-hw-insert", offload, "rx-vlan-stag-hw-parse", offload)
		}
		for _, q := range taggedQueries() {
			for direction, h := range map[string]*lab.Host{"in": l.Client, "out": l.Server} {
				q.send(t, h, offload)
				want[direction+" "+offload+q.name] = vlan(q.tags)
				if q.beside && offload == "on" {
					hidden[direction+" "+offload+q.name] = vlan(q.tags[1:])
				}
			}
		}
	}
	l.WaitReady(t, l.Server.V4) // all has passed
	taggedQuery{name: "last"}.send(t, l.Client, "")
	taggedQuery{name: "last"}.send(t, l.Server, "")
	want["in last"], want["out last"] = -1, -1
	l.WaitReady(t, l.Server.V4)

	records := stopAll(t, list)
	for i, o := range list {
		got := recordedVLANs(t, texts(records[i]))
		for name, number := range want {
			if other, ok := hidden[name]; ok && o.mode == "xdp" && strings.HasPrefix(name, "in ") != o.client {
				number = other
			}
			if n, ok := got[name]; !ok || n != number {
				t.Errorf("%s: %s has VLAN %d (recorded %v), want %d", o.name, name, n, ok, number)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d records, want %d:\n%s", o.name, len(got), len(want), o.Log())
		}
	}
	if len(hidden) == 0 {
		t.Error("XDP has seen all tags: this test shows nothing")
	}
	for i, r := range stopAll(t, onAny) {
		expectSame(t, list[0].name, records[0], "any by "+onAny[i].name, r)
	}
	expectSame(t, list[0].name, changed(records[0], inFile), "replay", replayed(t, end("last")))
}
