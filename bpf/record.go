//go:build linux

package bpf

import "unsafe"

// Record describes one packet: struct record_header in record.h.
type Record struct {
	BootNs     uint64 // CLOCK_BOOTTIME
	Ifindex    uint32
	WireLen    uint32 // of the frame, without the tag in VLANTCI
	CapLen     uint32
	SampleKeep uint32 // SampleKeep of every SampleOf were delivered; 0 of 0 is all
	SampleOf   uint32
	VLANTCI    uint16 // the tag that the kernel keeps beside the bytes, if HasVLAN
	VLANProto  uint16
	SegSize    uint16 // payload bytes per wire packet if the frame holds several, else 0
	HasVLAN    bool
	L3         bool // the data starts with an IP header, not with Ethernet
	XDP        bool // seen by XDP, otherwise by TC
	Out        bool // leaving this host, otherwise arriving
}

const recordHeader = int(unsafe.Sizeof(sensorRecordHeader{}))

// ParseRecord reads one record of a ring. data points into raw and ends with the
// packet; raw is longer, and the bytes after the packet are undefined. ok is false if
// raw is not a record.
func ParseRecord(raw []byte) (rec Record, data []byte, ok bool) {
	if len(raw) < recordHeader {
		return Record{}, nil, false
	}
	h := (*sensorRecordHeader)(unsafe.Pointer(&raw[0]))
	rec = Record{
		BootNs:     h.BootNs,
		Ifindex:    h.Ifindex,
		WireLen:    h.WireLen,
		CapLen:     h.CapLen,
		SampleKeep: h.SampleKeep,
		SampleOf:   h.SampleOf,
		VLANTCI:    h.VlanTci,
		VLANProto:  h.VlanProto,
		SegSize:    h.GsoSize,
		HasVLAN:    h.Flags&uint8(sensorRecordFlagRECORD_VLAN) != 0,
		L3:         h.Flags&uint8(sensorRecordFlagRECORD_L3) != 0,
		XDP:        h.Flags&uint8(sensorRecordFlagRECORD_XDP) != 0,
		Out:        h.Direction == uint8(sensorDirectionDIRECTION_OUT),
	}
	off := uint64(h.DataOff)
	end := off + uint64(rec.CapLen)
	if int(h.DataOff) < recordHeader || end > uint64(len(raw)) {
		return Record{}, nil, false
	}
	return rec, raw[off:end:end], true
}
