package worker

import (
	"sync/atomic"

	"dnsmonster-sensor/userspace/decode"
	"dnsmonster-sensor/userspace/packet"
)

// Sampler samples the packets of one source, unless the kernel has done so. Exactly a of
// every b whole datagrams and messages are kept, over all workers that share it. TCP and
// fragments are kept or left out by their pair of addresses, so that no message is torn.
type Sampler struct {
	ratio packet.Ratio
	flow  bool
	seen  atomic.Uint64
}

// NewSampler returns nil for a ratio that keeps everything. With flow, datagrams are kept
// or left out by addresses and ports: all of a conversation, or none.
func NewSampler(r packet.Ratio, flow bool) *Sampler {
	if r.Keep == r.Of {
		return nil
	}
	return &Sampler{ratio: r, flow: flow}
}

// next reports whether the next whole datagram, or message without a packet, is kept.
func (s *Sampler) next() bool {
	return (s.seen.Add(1)-1)%uint64(s.ratio.Of) < uint64(s.ratio.Keep)
}

// keep reports whether a packet with a watched port is kept, and sets its ratio then.
// What the kernel has sampled is kept.
func (s *Sampler) keep(p *packet.Packet, l *decode.Layers, whole bool) bool {
	kept := false
	switch {
	case p.Sample.Of != 0:
		return true
	case whole && s.flow:
		kept = packet.HashFlow(l.Src, l.Dst, l.SrcPort, l.DstPort).Sampled(s.ratio)
	case whole:
		kept = s.next()
	default:
		kept = packet.HashPair(l.Src, l.Dst).Sampled(s.ratio)
	}
	if kept {
		p.Sample = s.ratio
	}
	return kept
}
