package worker

import (
	"net/netip"
	"slices"
	"sync/atomic"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/dnstap"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// FrameConfig says what becomes of dnstap frames.
type FrameConfig struct {
	Types dnstap.Types // those that give records; 0: all
	Both  bool         // a frame with two messages gives two records
	Keep  bool         // events have event.FrameHead and event.FrameTail
	Seen  *SeenTypes   // gets the types that gave records; nil: nobody asks
}

// SeenTypes is the set of types that the workers of a run have recorded. It can be read at
// any time.
type SeenTypes struct{ bits atomic.Uint32 }

// Has reports whether any of these types was recorded.
func (s *SeenTypes) Has(types ...dnstap.Type) bool {
	seen := dnstap.Types(s.bits.Load())
	return slices.ContainsFunc(types, seen.Has)
}

// frames is a worker's memory for dnstap frames, kept from frame to frame.
type frames struct {
	frame   dnstap.Frame
	message packet.Message
	fields  event.Fields
	built   []byte // a frame that was written again
	other   []byte // the masked message that is not the main one
	addrs   [2][16]byte
	policy  dnstap.Policy
	written []byte // the masked policy
	seen    uint32 // types that gave records
	shown   uint32 // those of them that FrameConfig.Seen has
}

// frame handles a dnstap frame, and returns its outcome. If the frame has no time, that of
// its record is p.Time, when the frame came; 0 if the source does not know it.
//
// A frame of an unknown type gives a record, too: of its response if it has one, else of
// its query.
func (w *Worker) frame(p *packet.Packet) account.Column {
	if w.frames == nil {
		w.frames = &frames{}
	}
	f := &w.frames.frame
	fault := f.Parse(p.Data)
	if t := f.Time(); t != 0 {
		p.Time = t // for the clock of stages, too
	}
	w.wrongFields(&f.Wrong)
	types := w.cfg.Frames.Types
	switch {
	case fault == dnstap.Broken:
		return account.FrameBroken
	case fault != dnstap.NoFault:
		return account.FrameNotMessage
	case types != 0 && !types.Has(f.Type):
		return account.FrameUnselected
	}
	other := w.cfg.Frames.Both && f.Query != nil && f.Response != nil
	lone := f.Main() == nil
	if lone {
		if !w.cfg.Frames.Both || f.Query == nil && f.Response == nil {
			return account.FrameEmpty
		}
		f.Swap() // the message that it has is the other one
	}
	sample, kept := w.sample()
	if !kept {
		return account.SampledOut
	}
	if f.Type.Known() {
		w.frames.seen |= 1 << f.Type
	}
	w.frameMessage(p, sample, lone)
	if other {
		w.packets.Add(account.FrameOther, 1)
		f.Swap()
		w.frameMessage(p, sample, true)
	}
	return account.WholeMessage
}

// showTypes adds types that are new to FrameConfig.Seen.
func (w *Worker) showTypes() {
	if s := w.frames; s != nil && s.seen != s.shown && w.cfg.Frames.Seen != nil {
		w.cfg.Frames.Seen.bits.Or(s.seen)
		s.shown = s.seen
	}
}

// wrongFields counts the fields that were left out because their values are impossible.
func (w *Worker) wrongFields(n *dnstap.Wrong) {
	if *n == (dnstap.Wrong{}) {
		return
	}
	w.packets.Add(account.FrameWrongAddress, uint64(n.Addresses))
	w.packets.Add(account.FrameWrongPort, uint64(n.Ports))
	w.packets.Add(account.FrameWrongTime, uint64(n.Times))
}

// frameMessage handles the main message of the frame that was parsed from p, or changed
// since then.
func (w *Worker) frameMessage(p *packet.Packet, sample packet.Ratio, changed bool) {
	s := w.frames
	m := &s.message
	s.frame.Fill(m)
	if m.Time == 0 {
		m.Time = p.Time
	}
	m.Interface = p.Interface
	m.Fields = nil
	if w.cfg.Frames.Keep {
		m.Fields = w.frameFields(p, changed)
	}
	w.wholeMessage(m, sample)
}

// frameFields are the fields that keep the frame. With masks they are of a frame that is
// written again: every address in it is masked, and fields that this build does not know,
// which may hold addresses, are gone.
func (w *Worker) frameFields(p *packet.Packet, changed bool) event.Fields {
	s := w.frames
	masks := w.cfg.Mask != nil
	if !changed && !masks {
		s.fields = s.frame.AppendFields(s.fields[:0], p.Data)
		return s.fields
	}
	f := s.frame
	if masks {
		w.maskFrame(&f)
	}
	var from, to int
	s.built, from, to = f.Append(s.built[:0])
	s.fields = dnstap.AppendFields(s.fields[:0], s.built, from, to)
	return s.fields
}

// maskFrame masks what a frame says of clients beside its main message.
func (w *Worker) maskFrame(f *dnstap.Frame) {
	s := w.frames
	f.QueryAddress = w.maskBytes(f.QueryAddress, &s.addrs[0])
	f.ResponseAddress = w.maskBytes(f.ResponseAddress, &s.addrs[1])
	if other := f.OtherMessage(); *other != nil && w.cfg.MaskECS {
		var changed bool
		if s.other, changed = w.cfg.Mask.AppendMasked(s.other[:0], *other); changed {
			*other = s.other
		}
	}
	if f.Policy != nil {
		s.policy.Parse(f.Policy) // a broken one keeps what stands before the fault
		s.policy.Mask()
		s.written = s.policy.Append(s.written[:0])
		f.Policy = s.written
	}
}

func (w *Worker) maskBytes(address []byte, room *[16]byte) []byte {
	a, ok := netip.AddrFromSlice(address)
	if !ok {
		return address
	}
	*room = w.cfg.Mask.Addr(a).As16()
	if a.Is4() {
		return room[12:]
	}
	return room[:]
}
