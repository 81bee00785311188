package bpf

import "fmt"

// HookCounters are what one hook counted since Load, over all CPUs and
// interfaces. Every frame in Seen has one outcome. A hook that is running may
// have counted a frame and not its outcome yet.
type HookCounters struct {
	Hook string // "xdp", "tc ingress", "tc egress"
	Seen uint64

	NotDNS     uint64 // not UDP or TCP of a watched port
	SampledOut uint64
	FragQuota  uint64 // of unknown kind, beyond the quota
	RingFull   uint64
	CopyFailed uint64 // the kernel would not give the bytes
	Delivered  uint64 // in a ring

	Bytes uint64 // meter: of delivered frames, on the wire
	Cut   uint64 // meter: delivered frames that the snap length cut

	Overlong uint64 // meter: delivered frames that were cut because no record holds them

	Opaque uint64 // meter: tunnels let through because only user space can look inside
}

// Counters returns the counters of all loaded hooks. Reading changes nothing.
func (k *Kernel) Counters() ([]HookCounters, error) {
	all := make([]HookCounters, 0, len(k.hooks))
	var cpus []sensorHook
	for _, id := range k.hooks {
		if err := k.coll.Maps[sensorMapHooks].Lookup(uint32(id), &cpus); err != nil {
			return nil, fmt.Errorf("read counters of %s: %w", id, err)
		}
		c := HookCounters{Hook: id.String()}
		for i := range cpus {
			c.add(&cpus[i])
		}
		all = append(all, c)
	}
	return all, nil
}

// add follows the order of enum outcome in sensor.h.
func (c *HookCounters) add(h *sensorHook) {
	c.Seen += h.Seen
	c.NotDNS += h.Outcome[0]
	c.SampledOut += h.Outcome[1]
	c.FragQuota += h.Outcome[2]
	c.RingFull += h.Outcome[3]
	c.CopyFailed += h.Outcome[4]
	c.Delivered += h.Outcome[5]
	c.Bytes += h.Bytes
	c.Cut += h.Cut
	c.Overlong += h.Overlong
	c.Opaque += h.Opaque
}

// Outcomes is the sum of all outcomes: Seen, if the books balance.
func (c *HookCounters) Outcomes() uint64 {
	return c.NotDNS + c.SampledOut + c.FragQuota + c.RingFull + c.CopyFailed + c.Delivered
}
