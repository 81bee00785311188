package dnstap

import "dnsmonster-sensor/userspace/packet"

// Main is the DNS message that the frame's type names, nil if the frame does not carry it.
// A frame of an unknown type has its response, or else its query.
func (f *Frame) Main() []byte {
	if f.isResponse() {
		return f.Response
	}
	return f.Query
}

func (f *Frame) isResponse() bool {
	if f.Type.Known() {
		return f.Type.IsResponse()
	}
	return f.Response != nil
}

// Swap makes the frame one of the other type, with the other message alone.
func (f *Frame) Swap() {
	response := f.isResponse()
	if f.Type.Known() {
		f.Type = f.Type.Other()
	}
	if response {
		f.Response, f.ResponseTime = nil, 0
	} else {
		f.Query = nil
	}
}

// Fill sets m to the main message. Its slices are the frame's. m.Fields is not touched.
func (f *Frame) Fill(m *packet.Message) {
	m.Data, m.Missing = f.Main(), 0
	m.QueryTime, m.ResponseTime = f.QueryTime, f.ResponseTime
	m.Proto = f.Protocol.Proto()
	if f.Protocol == 0 && f.HTTP != 0 {
		m.Proto = packet.DoH
	}
	m.Direction, m.Interface = packet.DirectionUnknown, 0
	m.Identity, m.Version = f.Identity, f.Version
	query, response := addrPort(f.QueryAddress, f.QueryPort), addrPort(f.ResponseAddress, f.ResponsePort)
	m.Src, m.Dst, m.Time = query, response, f.Time()
	if f.isResponse() {
		m.Src, m.Dst = response, query
	}
}

// OtherMessage is where the frame keeps the message that is not the main one.
func (f *Frame) OtherMessage() *[]byte {
	if f.isResponse() {
		return &f.Query
	}
	return &f.Response
}

// Time is when the main message was seen, or else the other one; 0: not given.
func (f *Frame) Time() int64 {
	first, second := f.QueryTime, f.ResponseTime
	if f.isResponse() {
		first, second = second, first
	}
	if first != 0 {
		return first
	}
	return second
}
