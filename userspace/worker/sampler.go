package worker

import (
	"sync/atomic"

	"dnsmonster-sensor/userspace/decode"
	"dnsmonster-sensor/userspace/packet"
)

// Sampler leaves packets of one source out, for sources whose kernel has not:
// exactly a of every b whole datagrams and messages stay, over all workers that share it.
// What would tear a message, TCP and fragments, stays or goes by its pair of
// addresses.
type Sampler struct {
	ratio packet.Ratio
	seen  atomic.Uint64
}

// NewSampler returns nil for a ratio that leaves nothing out.
func NewSampler(r packet.Ratio) *Sampler {
	if r.Keep == r.Of {
		return nil
	}
	return &Sampler{ratio: r}
}

// next decides on the next whole datagram, or message that came without a packet.
func (s *Sampler) next() bool {
	return (s.seen.Add(1)-1)%uint64(s.ratio.Of) < uint64(s.ratio.Keep)
}

// keep decides on a packet that matches, and notes the ratio in one that stays.
func (s *Sampler) keep(p *packet.Packet, l *decode.Layers, whole bool) bool {
	stays := false
	if whole {
		stays = s.next()
	} else {
		stays = packet.HashPair(l.Src, l.Dst).Sampled(s.ratio)
	}
	if stays {
		p.Sample = s.ratio
	}
	return stays
}
