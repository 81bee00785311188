//go:build linux

package bpf

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unsafe"
)

// HookCounters are the counters of one hook since Load, summed over all CPUs and
// interfaces. Every frame has one outcome. A hook that is running may have counted a
// frame and not yet its outcome.
type HookCounters struct {
	Hook     string // "xdp", "tc ingress", "tc egress"
	Counters []Counter
}

// Counter is one counter of a hook. Its name is that of the member of struct hook in
// sensor.h, where its meaning is documented.
type Counter struct {
	Name  string
	Kind  Kind
	Value uint64
}

// Kind says what a counter means to a ledger: the group of struct hook that it is in.
type Kind uint8

// The kinds.
const (
	KindIn         Kind = iota // frames that the hook saw
	KindSkipped                // outcome: not wanted
	KindLost                   // outcome: wanted, and not delivered
	KindDelivered              // outcome: in a ring
	KindMeter                  // beside the outcomes
	KindIncomplete             // beside the outcomes: frames delivered without their ends, which is a loss
)

var kindOfGroup = map[string]Kind{
	"In": KindIn, "Skipped": KindSkipped, "Lost": KindLost, "Delivered": KindDelivered, "Meters": KindMeter, "Incomplete": KindIncomplete,
}

// DefinedCounters returns the counters that each hook has, without values.
func DefinedCounters() []Counter {
	list := make([]Counter, len(counterFields))
	for i, p := range counterFields {
		list[i] = Counter{Name: p.name, Kind: p.kind}
	}
	return list
}

// counterField is a counter in sensorHook.
type counterField struct {
	name   string
	kind   Kind
	offset uintptr
}

// counterFields has all counters, in the order of struct hook.
var counterFields = listCounterFields()

func listCounterFields() (list []counterField) {
	for _, group := range members(reflect.TypeFor[sensorHook]()) {
		if group.Type.Kind() != reflect.Struct {
			continue // the program's own state, such as sample_credit
		}
		kind, known := kindOfGroup[group.Name]
		if !known {
			panic("bpf: struct hook has a group of counters that Go does not know: " + group.Name)
		}
		for _, counter := range members(group.Type) {
			list = append(list, counterField{snake(counter.Name), kind, group.Offset + counter.Offset})
		}
	}
	return list
}

// members returns the fields of t that C has, too: not padding.
func members(t reflect.Type) (list []reflect.StructField) {
	for i := range t.NumField() {
		if f := t.Field(i); f.Name != "_" {
			list = append(list, f)
		}
	}
	return list
}

// snake returns the C name of a field that bpf2go has renamed.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// Counters returns the counters of all loaded hooks. It does not reset them.
func (k *Kernel) Counters() ([]HookCounters, error) {
	all := make([]HookCounters, 0, len(k.hooks))
	var cpus []sensorHook
	for _, id := range k.hooks {
		if err := k.coll.Maps[sensorMapHooks].Lookup(uint32(id), &cpus); err != nil {
			return nil, fmt.Errorf("read counters of %s: %w", id, err)
		}
		c := HookCounters{Hook: id.String(), Counters: DefinedCounters()}
		for i, p := range counterFields {
			c.Counters[i].Value = p.sum(cpus)
		}
		all = append(all, c)
	}
	return all, nil
}

func (p counterField) sum(cpus []sensorHook) (n uint64) {
	for i := range cpus {
		n += *(*uint64)(unsafe.Add(unsafe.Pointer(&cpus[i]), p.offset))
	}
	return n
}
