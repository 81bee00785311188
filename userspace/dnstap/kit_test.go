package dnstap

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"dnsmonster-sensor/userspace/event"
)

const (
	askedWire    = "\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01"
	answeredWire = "\x00\x07\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01"
)

// Fields of protobuf, whether they belong there or not.

func varint(n protowire.Number, v uint64) string {
	return string(protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v))
}

func bytesField(n protowire.Number, v string) string {
	return string(protowire.AppendString(protowire.AppendTag(nil, n, protowire.BytesType), v))
}

func fixed32(n protowire.Number, v uint32) string {
	return string(protowire.AppendFixed32(protowire.AppendTag(nil, n, protowire.Fixed32Type), v))
}

func fixed64(n protowire.Number, v uint64) string {
	return string(protowire.AppendFixed64(protowire.AppendTag(nil, n, protowire.Fixed64Type), v))
}

func group(n protowire.Number, inside string) string {
	return string(protowire.AppendTag(nil, n, protowire.StartGroupType)) + inside + string(protowire.AppendTag(nil, n, protowire.EndGroupType))
}

// payload is a frame with a Message of these fields.
func payload(message string) string { return bytesField(fieldMessage, message) + varint(fieldType, 1) }

// clientQuery is the least that gives a record.
var clientQuery = varint(messageType, uint64(ClientQuery)) + bytesField(messageQuery, askedWire)

func full() Frame {
	return Frame{
		Identity: []byte("ns1"), Version: []byte("knot 3.4"), Extra: []byte("site-1"),
		Type: ClientResponse, Family: 2, Protocol: 4, HTTP: 2,
		QueryAddress: bytes.Repeat([]byte{0x20}, 16), ResponseAddress: []byte{192, 0, 2, 53}, QueryPort: 5353, ResponsePort: 443,
		QueryTime: 1700000000e9, ResponseTime: 1700000000e9 + 5e6, Query: []byte(askedWire), Response: []byte(answeredWire),
		Zone: []byte("\x07example\x03org\x00"), Policy: []byte(bytesField(1, "RPZ") + varint(3, 1)),
	}
}

// same reports whether two frames hold the same. An absent field is not an empty one.
func same(a, b *Frame) bool {
	eq := func(x, y []byte) bool { return bytes.Equal(x, y) && (x == nil) == (y == nil) }
	return a.Type == b.Type && a.Family == b.Family && a.Protocol == b.Protocol && a.HTTP == b.HTTP && a.QueryPort == b.QueryPort && a.ResponsePort == b.ResponsePort &&
		a.QueryTime == b.QueryTime && a.ResponseTime == b.ResponseTime && eq(a.Identity, b.Identity) && eq(a.Version, b.Version) && eq(a.Extra, b.Extra) &&
		eq(a.QueryAddress, b.QueryAddress) && eq(a.ResponseAddress, b.ResponseAddress) && eq(a.Query, b.Query) && eq(a.Response, b.Response) &&
		eq(a.Zone, b.Zone) && eq(a.Policy, b.Policy)
}

// checkWhole checks that the fields of an event, with its message, are the payload again,
// also if the payload is a part of a larger buffer, or ends at its end.
func checkWhole(t *testing.T, data []byte) {
	t.Helper()
	larger := append(append([]byte("before"), data...), "after"...)
	for _, b := range [][]byte{data, bytes.Clone(data), larger[6 : 6+len(data)], larger[6 : 6+len(data) : 6+len(data)]} {
		var f Frame
		if f.Parse(b) != NoFault {
			return
		}
		for range 2 { // the second time of the other message, as for a frame without its own
			e := event.Event{Message: f.Main(), Fields: f.AppendFields(nil, b)}
			if got, ok := AppendPayload(nil, &e); !ok || !bytes.Equal(got, data) {
				t.Errorf("the payload %x is %x, %v with its message %x", data, got, ok, e.Message)
			}
			f.Swap()
		}
	}
}

// checkStable checks that a frame is the same after it was written and read.
func checkStable(t *testing.T, f *Frame) {
	t.Helper()
	written, from, to := f.Append(nil)
	var back Frame
	if fault := back.Parse(written); fault != NoFault || !same(&back, f) || back.Wrong != (Wrong{}) {
		t.Errorf("%+v was written as %x, which is fault %d, %+v", f, written, fault, back)
	}
	if main := f.Main(); !bytes.Equal(written[from:to], main) || len(main) > 0 && &back.Main()[0] != &written[from] {
		t.Errorf("the message of %+v is not at %d to %d of %x", f, from, to, written)
	}
}
