package bpf

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unsafe"
)

// HookCounters are what one hook counted since Load, over all CPUs and
// interfaces. Every frame that came in has one outcome. A hook that is running
// may have counted a frame and not its outcome yet.
type HookCounters struct {
	Hook     string // "xdp", "tc ingress", "tc egress"
	Counters []Counter
}

// Counter is one number of a hook. sensor.h says what it counts: the name is
// that of the member of struct hook.
type Counter struct {
	Name  string
	Kind  Kind
	Value uint64
}

// Kind says what a counter means: it is the group of struct hook in which the
// counter stands.
type Kind uint8

// The kinds.
const (
	KindIn         Kind = iota // frames that the hook saw
	KindLeftOut                // outcome: not wanted
	KindLost                   // outcome: wanted, and not delivered
	KindGiven                  // outcome: in a ring
	KindMeter                  // beside the outcomes
	KindIncomplete             // beside the outcomes: delivered without their ends, which is a loss
)

var kindOfGroup = map[string]Kind{
	"In": KindIn, "LeftOut": KindLeftOut, "Lost": KindLost, "Given": KindGiven, "Meters": KindMeter, "Incomplete": KindIncomplete,
}

// Defined are the counters that each hook has, without values.
func Defined() []Counter {
	list := make([]Counter, len(places))
	for i, p := range places {
		list[i] = Counter{Name: p.name, Kind: p.kind}
	}
	return list
}

// place is where a counter stands in sensorHook.
type place struct {
	name   string
	kind   Kind
	offset uintptr
}

// places are all counters, in the order of struct hook.
var places = findPlaces()

func findPlaces() (list []place) {
	for _, group := range members(reflect.TypeFor[sensorHook]()) {
		if group.Type.Kind() != reflect.Struct {
			continue // the program's own, such as credit
		}
		kind, known := kindOfGroup[group.Name]
		if !known {
			panic("bpf: struct hook has a group of counters that Go does not know: " + group.Name)
		}
		for _, counter := range members(group.Type) {
			list = append(list, place{snake(counter.Name), kind, group.Offset + counter.Offset})
		}
	}
	return list
}

// members are the fields that C has, too.
func members(t reflect.Type) (list []reflect.StructField) {
	for i := range t.NumField() {
		if f := t.Field(i); f.Name != "_" {
			list = append(list, f)
		}
	}
	return list
}

// snake undoes what bpf2go does to C's names.
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

// Counters returns the counters of all loaded hooks. Reading changes nothing.
func (k *Kernel) Counters() ([]HookCounters, error) {
	all := make([]HookCounters, 0, len(k.hooks))
	var cpus []sensorHook
	for _, id := range k.hooks {
		if err := k.coll.Maps[sensorMapHooks].Lookup(uint32(id), &cpus); err != nil {
			return nil, fmt.Errorf("read counters of %s: %w", id, err)
		}
		c := HookCounters{Hook: id.String(), Counters: Defined()}
		for i, p := range places {
			c.Counters[i].Value = p.sum(cpus)
		}
		all = append(all, c)
	}
	return all, nil
}

func (p place) sum(cpus []sensorHook) (n uint64) {
	for i := range cpus {
		n += *(*uint64)(unsafe.Add(unsafe.Pointer(&cpus[i]), p.offset))
	}
	return n
}
