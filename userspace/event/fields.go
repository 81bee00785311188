package event

import (
	"encoding/binary"
	"iter"
)

// Fields is the properties of an event that have no member in Event: fields back to
// back, each a u16 type, a u32 length and as many bytes, little-endian. Nil is none. A
// field that claims more bytes than there are is kept; it and what follows it cannot be
// read.
type Fields []byte

// FieldType names a field. A number is assigned once and never changes.
type FieldType uint16

// fieldHeaderLen is the size of a field's type and length.
const fieldHeaderLen = 6

// FirstField is the lowest type of Fields. The types below are for members of Event.
const FirstField FieldType = 64

// Types of Fields.
const (
	FrameHead FieldType = 64 // the dnstap payload that the event came in: its bytes before the message
	FrameTail FieldType = 65 // its bytes after the message
)

// AppendField appends a field to fields and returns the extended fields. A type may
// occur several times. It must not be below FirstField.
func AppendField(fields Fields, t FieldType, value []byte) Fields {
	if t < FirstField {
		panic("event: fields of this type are members of Event")
	}
	return append(appendFieldHead(fields, t, len(value)), value...)
}

func appendFieldHead(dst []byte, t FieldType, length int) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(t))
	return binary.LittleEndian.AppendUint32(dst, uint32(length))
}

// Get returns the value of the first field of a type, borrowed from f. ok is false if
// there is none.
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

// All iterates over the fields in order. The values are borrowed from f.
func (f Fields) All() iter.Seq2[FieldType, []byte] {
	return func(yield func(FieldType, []byte) bool) {
		for rest := f; len(rest) > 0; {
			t, value, after, whole := rest.cut()
			if !whole || !yield(t, value) {
				return
			}
			rest = after
		}
	}
}

// cut splits f after its first field. whole is false if f does not begin with a whole
// field.
func (f Fields) cut() (t FieldType, value []byte, rest Fields, whole bool) {
	if len(f) < fieldHeaderLen {
		return 0, nil, nil, false
	}
	t = FieldType(binary.LittleEndian.Uint16(f))
	n := uint64(binary.LittleEndian.Uint32(f[2:]))
	if n > uint64(len(f)-fieldHeaderLen) {
		return 0, nil, nil, false
	}
	end := fieldHeaderLen + int(n)
	return t, f[fieldHeaderLen:end:end], f[end:], true
}
