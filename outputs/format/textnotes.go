package format

import (
	"encoding/binary"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// notes makes the part in brackets: what is wrong with the message, an extended error,
// and the additional fields. Its short form has neither details nor these fields.
func (t *text) notes(e *event.Event, bad dns.Malformed) {
	p := &t.parts[textNotes]
	p.style = styleDim
	if bad.Yes() || e.CaptureCut > 0 {
		p.style = styleError
		if bad.Fault == dns.FaultCaptureCut || !bad.Yes() {
			p.style = styleOdd
		}
	}
	at := t.startNotes()
	t.appendDamage(e, bad, false)
	t.appendExtendedErrors(e, false)
	p.least = t.endNotes(at)
	at = t.startNotes()
	t.appendDamage(e, bad, true)
	t.appendExtendedErrors(e, true)
	if e.HasVLAN && t.o.Fields&fieldVLAN != 0 {
		t.buf = append(appendUint(append(t.buf, "vlan "...), uint64(e.VLAN&0xfff)), "; "...)
	}
	if e.Tunnel != event.TunnelNone && t.o.Fields&fieldTunnel != 0 {
		t.buf = append(append(append(t.buf, "in "...), e.Tunnel.String()...), "; "...)
	}
	if s := e.Sample; s.Keep != s.Of && t.o.Fields&fieldSampleRate != 0 {
		t.buf = appendUint(append(t.buf, "sampled "...), uint64(s.Keep))
		t.buf = append(appendUint(append(t.buf, ':'), uint64(s.Of)), "; "...)
	}
	if t.o.Fields.NeedsFrames() {
		t.appendFrame(e)
	}
	p.whole = t.endNotes(at)
}

func (t *text) startNotes() (at int) {
	t.buf = append(t.buf, '[')
	return len(t.buf) - 1
}

// endNotes ends the notes since at, each of which ends in "; ".
func (t *text) endNotes(at int) span {
	if len(t.buf) == at+1 {
		return span{}
	}
	t.buf = append(t.buf[:len(t.buf)-len("; ")], ']')
	return span{at, len(t.buf)}
}

// appendDamage appends that the message is malformed or was cut by the capture, and, if
// details are wanted, where and why.
func (t *text) appendDamage(e *event.Event, bad dns.Malformed, details bool) {
	if bad.Yes() && bad.Fault != dns.FaultCaptureCut {
		t.buf = append(t.buf, "malformed"...)
		if details {
			t.buf = append(append(t.buf, ": "...), bad.Section.String()...)
			t.buf = appendUint(append(t.buf, ' '), uint64(bad.Index))
			t.buf = append(append(t.buf, ": "...), bad.Fault.String()...)
		}
		t.buf = append(t.buf, "; "...)
	}
	if e.CaptureCut == 0 {
		return
	}
	t.buf = append(t.buf, "cut"...)
	if details {
		t.buf = append(appendCount(append(t.buf, ": "...), int(e.CaptureCut), "byte"), " not captured"...)
	}
	t.buf = append(t.buf, "; "...)
}

// nextOption reads the option at off of the OPT record. It returns the offset of the next
// one, or -1 at the end.
func nextOption(e *event.Event, off int) (code uint16, data []byte, next int) {
	o := &e.DNS.EDNS
	end := int(o.DataStart) + int(o.DataLen)
	if !o.Present || end > len(e.Message) || off >= end {
		return 0, nil, -1
	}
	return pair(e.Message[:end], off)
}

// extendedErrors are the names of RFC 8914 section 4, and of later assignments.
var extendedErrors = [...]string{
	"Other", "Unsupported DNSKEY Algorithm", "Unsupported DS Digest Type", "Stale Answer", "Forged Answer", "DNSSEC Indeterminate",
	"DNSSEC Bogus", "Signature Expired", "Signature Not Yet Valid", "DNSKEY Missing", "RRSIGs Missing", "No Zone Key Bit Set",
	"NSEC Missing", "Cached Error", "Not Ready", "Blocked", "Censored", "Filtered", "Prohibited", "Stale NXDOMAIN Answer",
	"Not Authoritative", "Not Supported", "No Reachable Authority", "Network Error", "Invalid Data", "Signature Expired before Valid",
	"Too Early", "Unsupported NSEC3 Iterations Value", "Unable to conform to policy", "Synthesized", "Invalid Query Type",
}

// appendExtendedErrors appends the extended DNS errors of a response, with names and texts
// if details are wanted.
func (t *text) appendExtendedErrors(e *event.Event, details bool) {
	if !e.DNS.Response() {
		return
	}
	for off := int(e.DNS.EDNS.DataStart); ; {
		code, data, next := nextOption(e, off)
		if next < 0 {
			return
		}
		if code == dns.OptionEDE && len(data) >= 2 {
			info := binary.BigEndian.Uint16(data)
			t.buf = appendUint(append(t.buf, "EDE "...), uint64(info))
			if details && int(info) < len(extendedErrors) {
				t.buf = append(append(t.buf, ' '), extendedErrors[info]...)
			}
			if details && len(data) > 2 {
				t.buf = appendQuoted(append(t.buf, ' '), data[2:])
			}
			t.buf = append(t.buf, "; "...)
		}
		off = next
	}
}

// tlvNames are the types of DSO TLVs (RFC 8490 section 10.3, RFC 8765 section 8).
var tlvNames = map[uint16]string{
	1: "keepalive", 2: "retry-delay", 3: "padding", 0x40: "subscribe", 0x41: "push", 0x42: "unsubscribe", 0x43: "reconfirm",
}

// appendTLVs appends the types of the TLVs of a DSO message.
func appendTLVs(dst, b []byte) []byte {
	for n := 0; len(b) >= 4 && n < 16; n++ {
		if n > 0 {
			dst = append(dst, ' ')
		}
		kind, size := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if name := tlvNames[kind]; name != "" {
			dst = append(dst, name...)
		} else {
			dst = appendUint(append(dst, "TLV"...), uint64(kind))
		}
		b = b[min(4+size, len(b)):]
	}
	return dst
}
