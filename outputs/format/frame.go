package format

import (
	"net/netip"
	"unicode/utf8"

	"dnsmonster-sensor/userspace/dnstap"
	"dnsmonster-sensor/userspace/event"
)

// frame writes what a dnstap frame says of a message and no other field of the record does.
type frame struct {
	payload []byte
	parsed  dnstap.Frame
	policy  dnstap.Policy
	names   names
}

// frameKeys are the keys, from the comma before them to the colon: in format json they are in
// objects, in the others they are not.
type frameKeys struct{ start, zone, http, extra, policyStart, policyEnd, kind, rule, action, match, value, end string }

var (
	nestedKeys = frameKeys{
		start: `,"Dnstap":{"Type":`, zone: `,"Zone":`, http: `,"HTTP":`, extra: `,"Extra":`, policyStart: `,"Policy":{`, policyEnd: "}",
		kind: `,"Type":`, rule: `,"Rule":`, action: `,"Action":`, match: `,"Match":`, value: `,"Value":`, end: "}",
	}
	flatKeys = frameKeys{
		start: `,"dnstap_type":`, zone: `,"dnstap_zone":`, http: `,"dnstap_http":`, extra: `,"dnstap_extra":`,
		kind: `,"policy_type":`, rule: `,"policy_rule":`, action: `,"policy_action":`, match: `,"policy_match":`, value: `,"policy_value":`,
	}
)

// read reads the frame of an event. ok is false if it came in none.
func (f *frame) read(e *event.Event) (ok bool) {
	f.payload, ok = dnstap.AppendPayload(f.payload[:0], e)
	return ok && f.parsed.Parse(f.payload) == dnstap.NoFault
}

// append appends the fields of e's frame, each after a comma, or nothing if it came in none.
func (f *frame) append(dst []byte, e *event.Event, flat bool) []byte {
	if !f.read(e) {
		return dst
	}
	keys := &nestedKeys
	if flat {
		keys = &flatKeys
	}
	p := &f.parsed
	dst = appendWord(append(dst, keys.start...), p.Type.String())
	if p.Zone != nil {
		dst = f.appendName(append(dst, keys.zone...), p.Zone)
	}
	if p.HTTP != 0 {
		dst = appendWord(append(dst, keys.http...), dnstap.HTTPName(p.HTTP))
	}
	if len(p.Extra) > 0 {
		dst = f.appendOpaque(append(dst, keys.extra...), p.Extra)
	}
	f.policy.Parse(p.Policy) // a broken one has what stands before the fault
	return append(f.appendPolicy(dst, keys), keys.end...)
}

func (f *frame) appendPolicy(dst []byte, keys *frameKeys) []byte {
	p, start := &f.policy, len(dst)
	dst = append(dst, keys.policyStart...)
	first := len(dst)
	if p.Type != nil {
		dst = f.appendOpaque(append(dst, keys.kind...), p.Type)
	}
	if p.Rule != nil {
		dst = f.appendName(append(dst, keys.rule...), p.Rule)
	}
	if p.Action != 0 {
		dst = appendWord(append(dst, keys.action...), p.Action.String())
	}
	if p.Match != 0 {
		dst = appendWord(append(dst, keys.match...), p.Match.String())
	}
	if p.Value != nil {
		dst = f.appendValue(append(dst, keys.value...), p)
	}
	if len(dst) == first {
		return dst[:start]
	}
	if keys.policyStart != "" { // the first key of an object follows no comma
		dst = append(dst[:first], dst[first+1:]...)
	}
	return append(dst, keys.policyEnd...)
}

// appendValue appends what matched: an address, a name, or any bytes.
func (f *frame) appendValue(dst []byte, p *dnstap.Policy) []byte {
	switch p.Match {
	case dnstap.MatchClientIP, dnstap.MatchResponseIP, dnstap.MatchNSIP:
		if a, ok := netip.AddrFromSlice(p.Value); ok {
			return append(appendAddr(append(dst, '"'), a), '"')
		}
	case dnstap.MatchQName, dnstap.MatchNSName:
		return f.appendName(dst, p.Value)
	}
	return f.appendOpaque(dst, p.Value)
}

// appendName appends a name in wire format, or other bytes as appendOpaque does.
func (f *frame) appendName(dst, wire []byte) []byte {
	f.names.reset()
	if named, end := f.names.append(append(dst, '"'), wire, 0); end == len(wire) {
		return append(named, '"')
	}
	return f.appendOpaque(dst, wire)
}

// appendOpaque appends bytes that are text for most servers. Others are written as data of
// an unknown type are in zone files (RFC 3597).
func (f *frame) appendOpaque(dst, b []byte) []byte {
	dst = append(dst, '"')
	if utf8.Valid(b) {
		return append(appendText(dst, b), '"')
	}
	dst = appendUint(append(dst, `\\# `...), uint64(len(b)))
	return append(appendHex(append(dst, ' '), b), '"')
}

// appendWord appends a text without special characters.
func appendWord(dst []byte, word string) []byte {
	return append(append(append(dst, '"'), word...), '"')
}

// appendFrame appends the type of the dnstap frame, the zone and the policy.
func (t *text) appendFrame(e *event.Event) {
	f := &t.frame
	if !f.read(e) {
		return
	}
	p := &f.parsed
	t.buf = append(append(t.buf, p.Type.String()...), "; "...)
	if p.Zone != nil {
		t.buf = append(appendPlainName(append(t.buf, "zone "...), p.Zone), "; "...)
	}
	q := &f.policy
	q.Parse(p.Policy)
	if q.Action == 0 && q.Rule == nil {
		return
	}
	t.buf = append(t.buf, "policy"...)
	if q.Action != 0 {
		t.buf = append(append(t.buf, ' '), q.Action.String()...)
	}
	if q.Rule != nil {
		t.buf = appendPlainName(append(t.buf, ' '), q.Rule)
	}
	t.buf = append(t.buf, "; "...)
}

// appendPlainName appends a name in wire format, or any other bytes.
func appendPlainName(dst, wire []byte) []byte {
	if named, end := appendDataName(dst, wire, 0); end == len(wire) {
		return named
	}
	return appendPlain(dst, wire)
}
