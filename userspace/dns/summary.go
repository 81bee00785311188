// Package dns reads DNS messages from the wire (RFC 1035, RFC 6891), and knows the
// numbers of DNS and the fields of record data.
//
// In: the bytes of a message. Out: a Summary with header, first question, OPT record and
// whether the message is whole, made in one pass that allocates nothing; and, for those
// who need more, its questions, records and names. The package imports nothing of the
// program. Its tests make their own messages and compare with miekg/dns.
package dns

import "encoding/binary"

// HeaderLen is the length of a DNS header. Shorter messages cannot be read.
const HeaderLen = 12

// Header is the first twelve bytes of a message.
type Header struct {
	ID    uint16
	Flags uint16 // QR to RCODE, as on the wire

	QDCount, ANCount, NSCount, ARCount uint16
}

// Flags of a header.
const (
	FlagQR = 1 << 15
	FlagAA = 1 << 10
	FlagTC = 1 << 9
	FlagRD = 1 << 8
	FlagRA = 1 << 7
	FlagZ  = 1 << 6
	FlagAD = 1 << 5
	FlagCD = 1 << 4
)

// Response is the QR bit.
func (h *Header) Response() bool { return h.Flags&FlagQR != 0 }

// Opcode is the four-bit kind of query.
func (h *Header) Opcode() uint8 { return uint8(h.Flags>>11) & 15 }

// Rcode is the four bits of the header; Summary.Rcode has all twelve.
func (h *Header) Rcode() uint8 { return uint8(h.Flags) & 15 }

// Truncated is the TC bit.
func (h *Header) Truncated() bool { return h.Flags&FlagTC != 0 }

// Section names a part of a message.
type Section uint8

// The sections, in wire order. SectionEnd stands for bytes after the last record.
const (
	SectionNone Section = iota
	SectionHeader
	SectionQuestion
	SectionAnswer
	SectionAuthority
	SectionAdditional
	SectionEnd
)

var sectionNames = [...]string{"", "header", "question", "answer", "authority", "additional", "end"}

// String is the section's name in records and docs.
func (s Section) String() string {
	if int(s) < len(sectionNames) {
		return sectionNames[s]
	}
	return "unknown"
}

// Fault is why a message is malformed.
type Fault uint8

// Faults. The zero value is none.
const (
	FaultNone       Fault = iota
	FaultShort            // the message ends before the section has as many entries as the header counts
	FaultName             // a name that runs past the end, is too long or has a reserved label type
	FaultPointer          // a compression pointer past the end, to itself, or into a loop
	FaultRecord           // a record header or RDLENGTH that runs past the end
	FaultRData            // record data that does not fit its type
	FaultTrailing         // bytes after the last record
	FaultCaptureCut       // the capture cut the message
	FaultUnfolds          // the message is whole, but decompressing its names gives more text than a record may hold
)

var faultTexts = [...]string{
	"", "fewer entries than the header counts", "bad name", "bad compression pointer",
	"record runs past the end", "bad record data", "bytes after the last record", "cut by the capture",
	"names unfold to too much text",
}

// String is the text in records and logs.
func (f Fault) String() string {
	if int(f) < len(faultTexts) {
		return faultTexts[f]
	}
	return "unknown"
}

// Malformed says where and why reading stopped. Everything before that is good.
// The zero value means that the message is whole.
type Malformed struct {
	Section Section
	Fault   Fault
	Index   uint16 // of the question, record or (SectionEnd) TLV, from 0; for FaultTrailing the number of bytes
}

// Yes reports whether the message is malformed.
func (m Malformed) Yes() bool { return m.Fault != FaultNone }

// EDNS is the content of the OPT record (RFC 6891 section 6.1.3): of the last one,
// if the additional section has several.
type EDNS struct {
	Present   bool
	Version   uint8
	ExtRcode  uint8 // the upper eight bits of the response code
	DO        bool
	UDPSize   uint16
	DataStart uint16 // offset of the options in the message
	DataLen   uint16
}

// Summary is the part of a message that every output needs.
type Summary struct {
	Header
	QType, QClass uint16 // of the first question, if HasQuestion
	HasQuestion   bool   // the first question is whole; its name starts at HeaderLen
	EDNS          EDNS
	Malformed     Malformed
}

// Rcode is the response code, including the bits in the OPT record.
func (s *Summary) Rcode() uint16 {
	return uint16(s.Header.Rcode()) | uint16(s.EDNS.ExtRcode)<<4
}

// Read fills s from a message. It returns false, and leaves s as it is, if there is
// no whole header. cut says that the capture cut the message: anything missing is
// then blamed on that.
func Read(msg []byte, cut bool, s *Summary) bool {
	if len(msg) < HeaderLen {
		return false
	}
	*s = Summary{}
	s.ID, s.Flags = binary.BigEndian.Uint16(msg), binary.BigEndian.Uint16(msg[2:])
	s.QDCount, s.ANCount = binary.BigEndian.Uint16(msg[4:]), binary.BigEndian.Uint16(msg[6:])
	s.NSCount, s.ARCount = binary.BigEndian.Uint16(msg[8:]), binary.BigEndian.Uint16(msg[10:])
	s.Malformed = readSections(msg, s)
	if cut && s.Malformed.Yes() && s.Malformed.Fault != FaultTrailing {
		s.Malformed.Fault = FaultCaptureCut
	}
	return true
}

func readSections(msg []byte, s *Summary) Malformed {
	r := reader{msg: msg, off: HeaderLen}
	for i := range s.QDCount {
		start := r.off
		if start == len(msg) {
			return Malformed{SectionQuestion, FaultShort, i}
		}
		if f := r.skipName(); f != FaultNone {
			return Malformed{SectionQuestion, f, i}
		}
		if r.off+4 > len(msg) {
			return Malformed{SectionQuestion, FaultRecord, i}
		}
		if i == 0 {
			s.QType = binary.BigEndian.Uint16(msg[r.off:])
			s.QClass = binary.BigEndian.Uint16(msg[r.off+2:])
			s.HasQuestion = true
		}
		r.off += 4
	}
	if f, i := r.skipRecords(s.ANCount, nil); f != FaultNone {
		return Malformed{SectionAnswer, f, i}
	}
	if f, i := r.skipRecords(s.NSCount, nil); f != FaultNone {
		return Malformed{SectionAuthority, f, i}
	}
	if f, i := r.skipRecords(s.ARCount, &s.EDNS); f != FaultNone {
		return Malformed{SectionAdditional, f, i}
	}
	if r.off == HeaderLen && s.Opcode() == OpcodeDSO {
		return readTLVs(msg[HeaderLen:])
	}
	if r.off < len(msg) {
		return Malformed{SectionEnd, FaultTrailing, uint16(min(len(msg)-r.off, 0xffff))}
	}
	return Malformed{}
}

// readTLVs checks what follows the header of a DSO message, which has no sections
// (RFC 8490 section 5.4): TLVs, each a type, a length and as many bytes.
func readTLVs(b []byte) Malformed {
	for i := uint16(0); len(b) > 0; i++ {
		n := 4
		if len(b) >= n {
			n += int(binary.BigEndian.Uint16(b[2:]))
		}
		if n > len(b) {
			return Malformed{SectionEnd, FaultRecord, i}
		}
		b = b[n:]
	}
	return Malformed{}
}
