package dnstap

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// Append appends the frame's payload to dst, and returns where the main message lies in
// the result: payload[from:to]. Fields are in the order of their numbers. Without a main
// message from and to are equal.
func (f *Frame) Append(dst []byte) (out []byte, from, to int) {
	dst = appendBytes(dst, fieldIdentity, f.Identity)
	dst = appendBytes(dst, fieldVersion, f.Version)
	dst = appendBytes(dst, fieldExtra, f.Extra)
	dst = protowire.AppendTag(dst, fieldMessage, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(f.messageSize()))
	dst, from, to = f.appendMessage(dst)
	dst = protowire.AppendTag(dst, fieldType, protowire.VarintType)
	return protowire.AppendVarint(dst, typeMessage), from, to
}

func (f *Frame) appendMessage(dst []byte) (out []byte, from, to int) {
	response := f.isResponse()
	dst = appendVarint(dst, messageType, uint64(f.Type))
	dst = appendVarint(dst, messageFamily, uint64(f.Family))
	dst = appendVarint(dst, messageProtocol, uint64(f.Protocol))
	dst = appendBytes(dst, messageQueryAddr, f.QueryAddress)
	dst = appendBytes(dst, messageResponseAddr, f.ResponseAddress)
	dst = appendVarint(dst, messageQueryPort, uint64(f.QueryPort))
	dst = appendVarint(dst, messageResponsePort, uint64(f.ResponsePort))
	dst = appendTime(dst, messageQuerySec, f.QueryTime)
	if f.Query != nil {
		dst = appendBytes(dst, messageQuery, f.Query)
		if !response {
			from, to = len(dst)-len(f.Query), len(dst)
		}
	}
	dst = appendBytes(dst, messageZone, f.Zone)
	dst = appendTime(dst, messageResponseSec, f.ResponseTime)
	if f.Response != nil {
		dst = appendBytes(dst, messageResponse, f.Response)
		if response {
			from, to = len(dst)-len(f.Response), len(dst)
		}
	}
	dst = appendBytes(dst, messagePolicy, f.Policy)
	return appendVarint(dst, messageHTTP, uint64(f.HTTP)), from, to
}

// messageSize is the length of what appendMessage appends.
func (f *Frame) messageSize() int {
	return varintSize(messageType, uint64(f.Type)) + varintSize(messageFamily, uint64(f.Family)) + varintSize(messageProtocol, uint64(f.Protocol)) +
		bytesSize(messageQueryAddr, f.QueryAddress) + bytesSize(messageResponseAddr, f.ResponseAddress) +
		varintSize(messageQueryPort, uint64(f.QueryPort)) + varintSize(messageResponsePort, uint64(f.ResponsePort)) +
		timeSize(messageQuerySec, f.QueryTime) + bytesSize(messageQuery, f.Query) + bytesSize(messageZone, f.Zone) +
		timeSize(messageResponseSec, f.ResponseTime) + bytesSize(messageResponse, f.Response) +
		bytesSize(messagePolicy, f.Policy) + varintSize(messageHTTP, uint64(f.HTTP))
}

// A nil slice and a number 0 are absent.

func appendBytes(dst []byte, n protowire.Number, b []byte) []byte {
	if b == nil {
		return dst
	}
	return protowire.AppendBytes(protowire.AppendTag(dst, n, protowire.BytesType), b)
}

func bytesSize(n protowire.Number, b []byte) int {
	if b == nil {
		return 0
	}
	return protowire.SizeTag(n) + protowire.SizeBytes(len(b))
}

func appendVarint(dst []byte, n protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, n, protowire.VarintType), v)
}

func varintSize(n protowire.Number, v uint64) int {
	if v == 0 {
		return 0
	}
	return protowire.SizeTag(n) + protowire.SizeVarint(v)
}

// appendTime appends a field of seconds and, with the next number, one of nanoseconds.
func appendTime(dst []byte, n protowire.Number, t int64) []byte {
	if t <= 0 {
		return dst
	}
	dst = protowire.AppendVarint(protowire.AppendTag(dst, n, protowire.VarintType), uint64(t/second))
	return protowire.AppendFixed32(protowire.AppendTag(dst, n+1, protowire.Fixed32Type), uint32(t%second))
}

func timeSize(n protowire.Number, t int64) int {
	if t <= 0 {
		return 0
	}
	return protowire.SizeTag(n) + protowire.SizeVarint(uint64(t/second)) + protowire.SizeTag(n+1) + protowire.SizeFixed32()
}
