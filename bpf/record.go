package bpf

import "encoding/binary"

// Record is what the kernel says about one packet: struct record in record.h.
type Record struct {
	BootNs     uint64 // CLOCK_BOOTTIME
	Ifindex    uint32
	WireLen    uint32 // of the frame, without a tag that is not in the bytes
	CapLen     uint32
	SampleKeep uint32 // SampleKeep of every SampleOf were delivered; 0 of 0 is all
	SampleOf   uint32
	VLANTCI    uint16 // the tag that is not in the bytes, if HasVLAN
	VLANProto  uint16
	SegSize    uint16 // payload bytes per wire packet where one frame holds several, else 0
	HasVLAN    bool
	L3         bool // the data starts with an IP header, not with Ethernet
	XDP        bool // seen by XDP, otherwise by TC
	Out        bool // leaving this host, otherwise arriving
}

const recordHeader = 40

// The flags, as in record.h.
const (
	recordVLAN = 1 << iota
	recordL3
	recordXDP
)

const directionOut = 2

// ParseRecord reads one record of a ring. data points into raw and ends with
// the packet: raw is longer, and what follows is not the packet's. Not ok: raw
// is not a record.
func ParseRecord(raw []byte) (rec Record, data []byte, ok bool) {
	if len(raw) < recordHeader {
		return Record{}, nil, false
	}
	le := binary.LittleEndian
	flags := raw[32]
	rec = Record{
		BootNs:     le.Uint64(raw[0:]),
		Ifindex:    le.Uint32(raw[8:]),
		WireLen:    le.Uint32(raw[12:]),
		CapLen:     le.Uint32(raw[16:]),
		SampleKeep: le.Uint32(raw[20:]),
		SampleOf:   le.Uint32(raw[24:]),
		VLANTCI:    le.Uint16(raw[28:]),
		VLANProto:  le.Uint16(raw[30:]),
		SegSize:    le.Uint16(raw[34:]),
		HasVLAN:    flags&recordVLAN != 0,
		L3:         flags&recordL3 != 0,
		XDP:        flags&recordXDP != 0,
		Out:        raw[33] == directionOut,
	}
	off := uint64(raw[36])
	end := off + uint64(rec.CapLen)
	if off < recordHeader || end > uint64(len(raw)) {
		return Record{}, nil, false
	}
	return rec, raw[off:end:end], true
}
