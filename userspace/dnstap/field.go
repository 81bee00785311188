package dnstap

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"
)

// kinds is the kind of each field that is known; 0: unknown. Numbers above those that are
// known count as 0.
type kinds [256]uint8

// The kinds of fields: the wire type and 1.
const (
	isVarint  = 1 + uint8(protowire.VarintType)
	isBytes   = 1 + uint8(protowire.BytesType)
	isFixed32 = 1 + uint8(protowire.Fixed32Type)
)

var (
	topKinds     = kinds{fieldIdentity: isBytes, fieldVersion: isBytes, fieldExtra: isBytes, fieldMessage: isBytes, fieldType: isVarint}
	messageKinds = kinds{
		messageType: isVarint, messageFamily: isVarint, messageProtocol: isVarint, messageQueryAddr: isBytes, messageResponseAddr: isBytes,
		messageQueryPort: isVarint, messageResponsePort: isVarint, messageQuerySec: isVarint, messageQueryNsec: isFixed32, messageQuery: isBytes,
		messageZone: isBytes, messageResponseSec: isVarint, messageResponseNsec: isFixed32, messageResponse: isBytes, messagePolicy: isBytes,
		messageHTTP: isVarint,
	}
	policyKinds = kinds{policyType: isBytes, policyRule: isBytes, policyAction: isVarint, policyMatch: isVarint, policyValue: isBytes}
)

// cut reads the first field of data, and returns what follows it, nil for an error. bytes
// is the value of a field of kind isBytes, varint that of isVarint and isFixed32. Results
// stay in registers. Nearly all fields have a tag of one byte, and a length or a number of
// one or two.
func cut(data []byte) (number, kind uint8, bytes []byte, varint uint64, rest []byte) {
	if len(data) < 6 || data[0] >= 0x80 {
		return cutAny(data)
	}
	number, kind = data[0]>>3, data[0]&7+1
	switch kind {
	case isBytes:
		from, n := 2, int(data[1])
		if n >= 0x80 {
			from, n = 3, n&0x7f|int(data[2])<<7
		}
		if n <= len(data)-from && (from == 2 || data[2] < 0x80) && number != 0 {
			return number, kind, data[from : from+n], 0, data[from+n:]
		}
	case isVarint:
		switch {
		case number == 0:
		case data[1] < 0x80:
			return number, kind, nil, uint64(data[1]), data[2:]
		case data[2] < 0x80:
			return number, kind, nil, uint64(data[1]&0x7f) | uint64(data[2])<<7, data[3:]
		case data[3] < 0x80:
			return number, kind, nil, uint64(data[1]&0x7f) | uint64(data[2]&0x7f)<<7 | uint64(data[3])<<14, data[4:]
		case data[4] >= 0x80 && data[5] < 0x80: // seconds since the epoch
			return number, kind, nil, uint64(data[1]&0x7f) | uint64(data[2]&0x7f)<<7 | uint64(data[3]&0x7f)<<14 | uint64(data[4]&0x7f)<<21 | uint64(data[5])<<28, data[6:]
		}
	case isFixed32:
		if number != 0 {
			return number, kind, nil, uint64(binary.LittleEndian.Uint32(data[1:])), data[5:]
		}
	}
	return cutAny(data)
}

// cutAny is cut without its shortcuts: it reads any field.
func cutAny(data []byte) (number, kind uint8, bytes []byte, varint uint64, rest []byte) {
	num, wire, n := protowire.ConsumeTag(data)
	if n < 0 {
		return 0, 0, nil, 0, nil
	}
	if num < protowire.Number(len(kinds{})) {
		number = uint8(num)
	}
	data = data[n:]
	switch wire {
	case protowire.BytesType:
		bytes, n = protowire.ConsumeBytes(data)
	case protowire.VarintType:
		varint, n = protowire.ConsumeVarint(data)
	case protowire.Fixed32Type:
		var fixed uint32
		fixed, n = protowire.ConsumeFixed32(data)
		varint = uint64(fixed)
	default:
		n = protowire.ConsumeFieldValue(num, wire, data)
	}
	if n < 0 {
		return 0, 0, nil, 0, nil
	}
	return number, uint8(wire) + 1, bytes, varint, data[n:]
}
