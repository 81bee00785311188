package dnstap

import "dnsmonster-sensor/userspace/event"

// A record keeps a whole frame without holding its message twice: the bytes before the
// message and those after it are two fields of the event, and the message is the event's.

// AppendFields appends to fields the bytes of a frame before and after its main message.
// payload is what f was parsed from.
func (f *Frame) AppendFields(fields event.Fields, payload []byte) event.Fields {
	from, to := offsets(payload, f.Main())
	return AppendFields(fields, payload, from, to)
}

// AppendFields appends the parts of a payload around its main message to fields.
func AppendFields(fields event.Fields, payload []byte, from, to int) event.Fields {
	fields = event.AppendField(fields, event.FrameHead, payload[:from])
	return event.AppendField(fields, event.FrameTail, payload[to:])
}

// offsets returns where part lies in whole. It relies on Parse, which slices without
// limiting the capacity: both capacities end at the same byte.
func offsets(whole, part []byte) (from, to int) {
	if len(part) == 0 {
		return len(whole), len(whole) // the whole payload is the head
	}
	from = cap(whole) - cap(part)
	return from, from + len(part)
}

// AppendPayload appends the frame that an event came in. ok is false if it came in none.
func AppendPayload(dst []byte, e *event.Event) (out []byte, ok bool) {
	head, ok := e.Fields.Get(event.FrameHead)
	if !ok {
		return dst, false
	}
	tail, _ := e.Fields.Get(event.FrameTail)
	dst = append(append(dst, head...), e.Message...)
	return append(dst, tail...), true
}
