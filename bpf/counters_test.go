//go:build linux

package bpf

import (
	"reflect"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"

	"dnsmonster-sensor/userspace/packet"
)

// typeInformation returns a type of the object's BTF.
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

// Go has the counters of struct hook by the names, groups and offsets of C.
func TestCountersAreThoseOfC(t *testing.T) {
	kinds := map[string]Kind{
		"in": KindIn, "skipped": KindSkipped, "lost": KindLost, "delivered": KindDelivered, "meters": KindMeter, "incomplete": KindIncomplete,
	}
	var want []counterField
	for _, group := range typeInformation[*btf.Struct](t, "hook").Members {
		members, ok := group.Type.(*btf.Struct)
		if !ok {
			continue
		}
		for _, m := range members.Members {
			want = append(want, counterField{m.Name, kinds[group.Name], uintptr(group.Offset.Bytes() + m.Offset.Bytes())})
		}
	}
	if !reflect.DeepEqual(counterFields, want) || len(want) < 11 {
		t.Errorf("Go has %+v\nC has %+v", counterFields, want)
	}
}

// The program counts an outcome at the index of its constant.
func TestOutcomesAreInTheOrderOfTheirConstants(t *testing.T) {
	var list []counterField
	for _, p := range counterFields {
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

// The numbers of packet.Tunnel are those of enum tunnel, with the same names. Only the
// kernel program has PPPoE. There is no common source: this package imports nothing of
// the project.
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
