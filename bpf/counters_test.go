package bpf

import (
	"reflect"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"

	"dnsmonster-sensor/userspace/packet"
)

// typeInformation is the object's, as the C compiler wrote it.
func typeInformation[T btf.Type](t *testing.T, name string) (found T) {
	t.Helper()
	spec, err := loadSensor()
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.Types.TypeByName(name, &found); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return found
}

// Go knows the counters of struct hook by C's names, each in its group and in its
// place, and no other.
func TestCountersAreThoseOfC(t *testing.T) {
	var want []place
	for _, group := range typeInformation[*btf.Struct](t, "hook").Members {
		members, ok := group.Type.(*btf.Struct)
		if !ok {
			continue
		}
		for _, m := range members.Members {
			want = append(want, place{m.Name, kindOfGroup[map[string]string{
				"in": "In", "left_out": "LeftOut", "lost": "Lost", "given": "Given", "meters": "Meters", "incomplete": "Incomplete",
			}[group.Name]], uintptr(group.Offset.Bytes() + m.Offset.Bytes())})
		}
	}
	if !reflect.DeepEqual(places, want) || len(want) < 11 {
		t.Errorf("Go has %+v\nC has %+v", places, want)
	}
}

// The constants of the outcomes are the places of their counters, by which the
// program counts.
func TestOutcomesAreInTheirPlaces(t *testing.T) {
	var list []place
	for _, p := range places {
		if c := (Counter{Kind: p.kind}); c.isOutcome() {
			list = append(list, p)
		}
	}
	for _, v := range typeInformation[*btf.Enum](t, "outcome").Values {
		if v.Name == "OUTCOMES" || v.Name == "WANTED" {
			continue
		}
		p := list[v.Value]
		if p.name != strings.ToLower(v.Name) || p.offset != list[0].offset+8*uintptr(v.Value) {
			t.Errorf("outcome %d is %s, and counted as %s at %d", v.Value, v.Name, p.name, p.offset)
		}
	}
}

// The kernel's program and user space number tunnels alike, and know the same
// ones; PPPoE is the kernel's alone.
func TestTunnelsAreThoseOfUserSpace(t *testing.T) {
	known := 0
	for _, v := range typeInformation[*btf.Enum](t, "tunnel").Values {
		word := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(v.Name, "TUNNEL_")), "_", "-")
		switch {
		case word == "none" && v.Value == uint64(packet.TunnelNone):
		case word == "pppoe" && v.Value == uint64(PPPoE) && v.Value > uint64(packet.TunnelLast):
		case v.Value > uint64(packet.TunnelLast) || packet.Tunnel(v.Value).String() != word:
			t.Errorf("%s is %d, which user space takes for %q", v.Name, v.Value, packet.Tunnel(v.Value))
		default:
			known++
		}
	}
	if known != int(packet.TunnelLast) {
		t.Errorf("the kernel's program knows %d tunnels, user space %d", known, packet.TunnelLast)
	}
}
