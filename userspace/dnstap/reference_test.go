package dnstap

import (
	"bytes"
	"math/rand/v2"
	"testing"

	reference "github.com/dnstap/golang-dnstap"
	"google.golang.org/protobuf/proto"
)

// known is whatever of a frame golang-dnstap knows too.
func known(f *Frame) *reference.Dnstap {
	m := &reference.Message{Type: reference.Message_Type(f.Type).Enum(), QueryMessage: f.Query, ResponseMessage: f.Response, QueryZone: f.Zone,
		QueryAddress: f.QueryAddress, ResponseAddress: f.ResponseAddress}
	if f.Family != 0 {
		m.SocketFamily = reference.SocketFamily(f.Family).Enum()
	}
	if f.Protocol != 0 {
		m.SocketProtocol = reference.SocketProtocol(f.Protocol).Enum()
	}
	if f.QueryPort != 0 {
		m.QueryPort = proto.Uint32(uint32(f.QueryPort))
	}
	if f.ResponsePort != 0 {
		m.ResponsePort = proto.Uint32(uint32(f.ResponsePort))
	}
	if f.QueryTime != 0 {
		m.QueryTimeSec, m.QueryTimeNsec = proto.Uint64(uint64(f.QueryTime/second)), proto.Uint32(uint32(f.QueryTime%second))
	}
	if f.ResponseTime != 0 {
		m.ResponseTimeSec, m.ResponseTimeNsec = proto.Uint64(uint64(f.ResponseTime/second)), proto.Uint32(uint32(f.ResponseTime%second))
	}
	return &reference.Dnstap{Type: reference.Dnstap_MESSAGE.Enum(), Identity: f.Identity, Version: f.Version, Extra: f.Extra, Message: m}
}

// random is a frame with each field with one chance in two.
func random(r *rand.Rand) (f Frame) {
	f = full()
	f.Type, f.Family, f.Protocol = 1+Type(r.IntN(14)), 1+uint32(r.IntN(2)), 1+Protocol(r.IntN(4))
	f.QueryPort, f.ResponsePort = uint16(1+r.IntN(65535)), uint16(1+r.IntN(65535))
	f.QueryTime, f.ResponseTime = 1+r.Int64N(1<<63-1e9), 1+r.Int64N(1<<63-1e9)
	f.HTTP, f.Policy = 0, nil
	for _, b := range []*[]byte{&f.Identity, &f.Version, &f.Extra, &f.Query, &f.Response, &f.Zone} {
		if *b = make([]byte, r.IntN(300)); r.IntN(2) == 0 {
			*b = nil
		}
		for i := range *b {
			(*b)[i] = byte(r.Uint32())
		}
	}
	if r.IntN(2) == 0 {
		f.QueryAddress, f.ResponseAddress = nil, []byte("\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01")
	}
	if r.IntN(2) == 0 {
		f.Family, f.Protocol, f.QueryPort, f.ResponsePort = 0, 0, 0, 0
	}
	if r.IntN(2) == 0 {
		f.QueryTime = 0
	}
	if r.IntN(2) == 0 {
		f.ResponseTime = 0
	}
	return f
}

// TestReference: golang-dnstap and this package read what the other one writes.
func TestReference(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		f := random(r)
		written, err := proto.Marshal(known(&f))
		if err != nil {
			t.Fatal(err)
		}
		var back Frame
		if fault := back.Parse(written); fault != NoFault || !same(&back, &f) || back.Wrong != (Wrong{}) {
			t.Fatalf("fault %d: %+v, want %+v", fault, back, f)
		}
		checkWhole(t, written)
		ours, _, _ := f.Append(nil)
		var theirs reference.Dnstap
		if err := proto.Unmarshal(ours, &theirs); err != nil || !proto.Equal(&theirs, known(&f)) {
			t.Fatalf("%v: %v, want %v", err, &theirs, known(&f))
		}
		checkStable(t, &f)
	}
}

// TestReferenceSkipsWhatIsNew: it reads frames with fields that it does not know.
func TestReferenceSkipsWhatIsNew(t *testing.T) {
	f := full()
	f.Protocol = 7
	ours, _, _ := f.Append(nil)
	var theirs reference.Dnstap
	if err := proto.Unmarshal(ours, &theirs); err != nil || !bytes.Equal(theirs.Message.ResponseMessage, f.Response) || theirs.Message.GetSocketProtocol() != 7 {
		t.Errorf("%v: %v", err, &theirs)
	}
}

// compare compares what both read. What golang-dnstap takes for unknown, and numbers that
// it cuts to 32 bits, are not compared.
func compare(t *testing.T, data []byte, f *Frame, fault Fault) {
	var theirs reference.Dnstap
	if err := proto.Unmarshal(data, &theirs); err != nil {
		return // it also refuses types that it does not know
	}
	m := theirs.Message
	if m == nil || theirs.GetType() != reference.Dnstap_MESSAGE || m.GetType() == 0 || len(theirs.ProtoReflect().GetUnknown())+len(m.ProtoReflect().GetUnknown()) > 0 {
		return
	}
	if fault != NoFault {
		t.Fatalf("fault %d, but golang-dnstap reads %v", fault, &theirs)
	}
	if f.Wrong != (Wrong{}) {
		return
	}
	want := Frame{
		Identity: theirs.Identity, Version: theirs.Version, Extra: theirs.Extra, Type: Type(m.GetType()),
		QueryAddress: m.QueryAddress, ResponseAddress: m.ResponseAddress, QueryPort: uint16(m.GetQueryPort()), ResponsePort: uint16(m.GetResponsePort()),
		QueryTime:    int64(m.GetQueryTimeSec())*second + int64(m.GetQueryTimeNsec()),
		ResponseTime: int64(m.GetResponseTimeSec())*second + int64(m.GetResponseTimeNsec()),
		Query:        m.QueryMessage, Response: m.ResponseMessage, Zone: m.QueryZone,
	}
	if m.SocketFamily != nil { // it has defaults for absent ones
		want.Family = uint32(*m.SocketFamily)
	}
	if m.SocketProtocol != nil {
		want.Protocol = Protocol(*m.SocketProtocol)
	}
	for _, a := range []*[]byte{&want.QueryAddress, &want.ResponseAddress} {
		if len(*a) == 0 {
			*a = nil
		}
	}
	if !same(f, &want) {
		t.Fatalf("%+v\n, golang-dnstap reads %+v", f, want)
	}
}

// FuzzParse: no panic; what is read can be written and read again; a record's fields are its
// payload; golang-dnstap reads the same.
func FuzzParse(f *testing.F) {
	whole := full()
	data, _, _ := whole.Append(nil)
	f.Add(data)
	for _, s := range []string{
		payload(clientQuery), payload(clientQuery + varint(messageQueryPort, 1<<20) + bytesField(messageQueryAddr, "x") + fixed32(messageQueryNsec, 1<<31)),
		payload(clientQuery) + group(30, varint(1, 1)), payload(clientQuery + clientQuery), bytesField(fieldMessage, varint(messageType, 2)) + payload(bytesField(messageQuery, "")),
		payload(varint(messageType, 99) + bytesField(messageResponse, askedWire) + bytesField(messageQuery, askedWire)),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		var frame Frame
		fault := frame.Parse(data)
		compare(t, data, &frame, fault)
		if fault != NoFault {
			return
		}
		checkWhole(t, data)
		checkStable(t, &frame)
		var p Policy
		p.Parse(frame.Policy)
		once := p.Append(nil)
		var again Policy
		if !again.Parse(once) || !bytes.Equal(again.Append(nil), once) {
			t.Fatalf("policy %x became %x", once, again.Append(nil))
		}
		if !bytes.Equal(data, before) {
			t.Fatal("the payload was changed")
		}
	})
}
