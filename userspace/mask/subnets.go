package mask

import (
	"encoding/binary"

	"dnsmonster-sensor/userspace/dns"
)

// subnets iterates over the client subnets in a message.
type subnets struct {
	msg      []byte
	off      int // of the next record
	records  int // that have not been read
	option   int // offset of the next option, in an OPT record that ends at end
	end      int
	from, to int // of the address that next found
	family   uint16
}

func newSubnets(msg []byte) subnets {
	s := subnets{msg: msg, off: dns.HeaderLen}
	if len(msg) < dns.HeaderLen {
		return s
	}
	for range binary.BigEndian.Uint16(msg[4:]) {
		if !s.skipName() || s.off+4 > len(msg) {
			return s
		}
		s.off += 4
	}
	for at := 6; at < dns.HeaderLen; at += 2 {
		s.records += int(binary.BigEndian.Uint16(msg[at:]))
	}
	return s
}

// next finds one more subnet.
func (s *subnets) next() bool {
	for {
		for s.option+4 <= s.end {
			at := s.option
			code, n := binary.BigEndian.Uint16(s.msg[at:]), int(binary.BigEndian.Uint16(s.msg[at+2:]))
			s.option = at + 4 + n
			// The address of an option that runs past the end of its record is masked, too.
			if end := min(s.option, s.end); code == dns.OptionSubnet && end > at+8 {
				s.family, s.from, s.to = binary.BigEndian.Uint16(s.msg[at+4:]), at+8, end
				return true
			}
		}
		if !s.nextOPT() {
			return false
		}
	}
}

// nextOPT goes to the next OPT record. If that runs past the end of the message it
// ends there.
func (s *subnets) nextOPT() bool {
	for s.records > 0 {
		s.records--
		if !s.skipName() || s.off+10 > len(s.msg) {
			s.records = 0
			return false
		}
		kind, n := binary.BigEndian.Uint16(s.msg[s.off:]), int(binary.BigEndian.Uint16(s.msg[s.off+8:]))
		data := s.off + 10
		s.off = data + n
		if kind == dns.TypeOPT {
			s.option, s.end = data, min(s.off, len(s.msg))
			return true
		}
	}
	return false
}

// skipName skips a name of any length. Where a pointer leads does not matter.
func (s *subnets) skipName() bool {
	part, next, _ := dns.SkipName(s.msg, s.off)
	s.off = next
	return part == dns.NameEnd || part == dns.NamePointer
}
