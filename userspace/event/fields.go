package event

import (
	"encoding/binary"
	"iter"
)

// Fields are what an event has beyond the members of Event: type-length-value
// fields one after the other, each a u16 type, a u32 length and so many bytes,
// little-endian. Nil is none. What stands behind a field that claims more bytes
// than there are is kept and not read.
type Fields []byte

// FieldType names a field. A number is given once, for ever.
type FieldType uint16

// fieldHead is the length of a field's type and length.
const fieldHead = 6

// FirstField is the first type that Fields can hold. The types below belong to
// members of Event.
const FirstField FieldType = 64

// AppendField appends a field to fields and returns the extended fields. A type
// may be there several times. It must not be one below FirstField.
func AppendField(fields Fields, t FieldType, value []byte) Fields {
	if t < FirstField {
		panic("event: a field of this type is a member of Event")
	}
	return append(appendFieldHead(fields, t, len(value)), value...)
}

func appendFieldHead(dst []byte, t FieldType, length int) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(t))
	return binary.LittleEndian.AppendUint32(dst, uint32(length))
}

// Get returns the first field of a type; ok is false where there is none. The
// value is borrowed from f.
func (f Fields) Get(t FieldType) (value []byte, ok bool) {
	for len(f) > 0 {
		found, value, rest, whole := f.cut()
		if !whole {
			break
		}
		if found == t {
			return value, true
		}
		f = rest
	}
	return nil, false
}

// All walks the fields in their order. The values are borrowed from f.
func (f Fields) All() iter.Seq2[FieldType, []byte] {
	return func(yield func(FieldType, []byte) bool) {
		for rest := f; len(rest) > 0; {
			t, value, behind, whole := rest.cut()
			if !whole || !yield(t, value) {
				return
			}
			rest = behind
		}
	}
}

// cut takes the first field off; whole is false where f does not begin with one.
func (f Fields) cut() (t FieldType, value []byte, rest Fields, whole bool) {
	if len(f) < fieldHead {
		return 0, nil, nil, false
	}
	t = FieldType(binary.LittleEndian.Uint16(f))
	n := uint64(binary.LittleEndian.Uint32(f[2:]))
	if n > uint64(len(f)-fieldHead) {
		return 0, nil, nil, false
	}
	end := fieldHead + int(n)
	return t, f[fieldHead:end:end], f[end:], true
}
