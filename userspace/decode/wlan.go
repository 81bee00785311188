package decode

import "encoding/binary"

// Bits of IEEE 802.11's frame control field, in the order of its bytes in a frame.
const (
	wlanType      = 0x0c00
	wlanData      = 0x0800
	wlanQoS       = 0x8000
	wlanNoData    = 0x4000
	wlanToDS      = 0x0001
	wlanFromDS    = 0x0002
	wlanProtected = 0x0040
	wlanHTC       = 0x0080 // QoS data: HT control follows
	wlanVersion   = 0x0300
	wlanFragment  = 0x000f // of the sequence control field
	wlanAMSDU     = 0x80   // of the QoS control field
)

// wlan reads an IEEE 802.11 frame. Data frames that are not encrypted carry LLC. padded
// says that the header's length was rounded up to four bytes.
func (l *Layers) wlan(b []byte, padded bool) Found {
	if len(b) < 2 {
		return FoundBad
	}
	control := binary.BigEndian.Uint16(b)
	if control&(wlanType|wlanNoData|wlanProtected|wlanVersion) != wlanData {
		return FoundOther
	}
	n := 24
	if control&wlanToDS != 0 && control&wlanFromDS != 0 { // a fourth address
		n += 6
	}
	qos := n
	if control&wlanQoS != 0 {
		n += 2
		if control&wlanHTC != 0 {
			n += 4
		}
	}
	if padded {
		n = (n + 3) &^ 3
	}
	if len(b) < n {
		return FoundBad
	}
	if binary.LittleEndian.Uint16(b[22:])&wlanFragment != 0 {
		return FoundOther // a later fragment, which has no header
	}
	if control&wlanQoS != 0 && b[qos]&wlanAMSDU != 0 {
		return l.amsdu(b[n:])
	}
	return l.llc(b[n:])
}

// amsdu reads an A-MSDU: several frames, each after two addresses and its length.
// It returns the first that is a fragment or has a port that carries DNS, or else the
// last one.
func (l *Layers) amsdu(b []byte) Found {
	const header = 14
	before := *l
	for {
		if len(b) < header {
			return FoundBad
		}
		n := header + int(binary.BigEndian.Uint16(b[12:]))
		found := l.llc(b[header:min(n, len(b))])
		next := (n + 3) &^ 3
		if found == FoundFragment || found <= FoundTCP && (l.decoder.dns(l.SrcPort) || l.decoder.dns(l.DstPort)) || next+header > len(b) {
			return found
		}
		*l, b = before, b[next:]
	}
}

// radiotap reads the header that says how a frame was received
// (https://www.radiotap.org). Only the flags among its fields matter.
func (l *Layers) radiotap(b []byte) Found {
	const hasTime, hasFlags, more, padded = 1 << 0, 1 << 1, 1 << 31, 0x20
	if len(b) < 8 {
		return FoundBad
	}
	n := int(binary.LittleEndian.Uint16(b[2:]))
	if n < 8 || n > len(b) {
		return FoundBad
	}
	present := binary.LittleEndian.Uint32(b[4:])
	off := 8
	for last := present; last&more != 0; off += 4 {
		if off+4 > n {
			return FoundBad
		}
		last = binary.LittleEndian.Uint32(b[off:])
	}
	if present&hasTime != 0 {
		off = (off+7)&^7 + 8
	}
	return l.wlan(b[n:], present&hasFlags != 0 && off < n && b[off]&padded != 0)
}

// prism reads the headers of Prism and AVS. A capture of either type can have both.
func (l *Layers) prism(b []byte) Found {
	const avs, avs2, prism = 0x80211001, 0x80211002, 0x44
	if len(b) < 8 {
		return FoundBad
	}
	n := uint32(144)
	switch magic := binary.BigEndian.Uint32(b); {
	case magic == avs || magic == avs2:
		n = binary.BigEndian.Uint32(b[4:])
	case magic == prism:
		n = binary.BigEndian.Uint32(b[4:])
	case binary.LittleEndian.Uint32(b) == prism:
		n = binary.LittleEndian.Uint32(b[4:])
	}
	if n < 8 || uint64(n) > uint64(len(b)) {
		return FoundBad
	}
	return l.wlan(b[n:], false)
}
