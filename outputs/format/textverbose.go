package format

import (
	"encoding/binary"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// rest makes the part that only -v shows: what is in the other sections, EDNS, what the
// server says of itself, and the length of the message.
func (t *text) rest(e *event.Event) {
	at := len(t.buf)
	limit := at + maxText(len(e.Message))
	t.buf = append(t.buf, "| "...)
	d := &e.DNS
	if t.items.isUpdate() {
		t.appendSection(e, "if", dns.SectionAnswer, limit)
	} else {
		t.appendSection(e, "authority", dns.SectionAuthority, limit)
	}
	t.appendSection(e, "additional", dns.SectionAdditional, limit)
	if d.EDNS.Present {
		t.appendEDNS(e)
	}
	if len(e.Identity) > 0 {
		t.buf = append(append(appendPlain(append(t.buf, "identity "...), e.Identity), ';'), ' ')
	}
	if len(e.Version) > 0 {
		t.buf = append(append(appendPlain(append(t.buf, "version "...), e.Version), ';'), ' ')
	}
	t.buf = appendCount(t.buf, e.Length(), "byte")
	t.set(textRest, at)
}

// appendSection appends the records of a section but OPT, up to a length of buf.
func (t *text) appendSection(e *event.Event, name string, s dns.Section, limit int) {
	var r dns.Record
	sep := ""
	for records := e.DNS.RecordsOf(e.Message, s); records.Next(&r); {
		if r.Type == dns.TypeOPT && s == dns.SectionAdditional {
			continue
		}
		if sep == "" {
			t.buf = append(append(t.buf, name...), ' ')
		}
		if len(t.buf) > limit {
			t.buf = append(append(t.buf, sep...), cutMark...)
			break
		}
		t.buf = appendRecord(append(t.buf, sep...), e.Message[:r.End], &r, limit)
		sep = ", "
	}
	if sep != "" {
		t.buf = append(t.buf, "; "...)
	}
}

// optionNames are those of EDNS options in dig's output, or IANA's.
var optionNames = [...]string{
	dns.OptionLLQ: "llq", dns.OptionUL: "update-lease", dns.OptionNSID: "nsid", dns.OptionESU: "esu", dns.OptionDAU: "dau", dns.OptionDHU: "dhu",
	dns.OptionN3U: "n3u", dns.OptionSubnet: "subnet", dns.OptionExpire: "expire", dns.OptionCookie: "cookie", dns.OptionKeepalive: "keepalive",
	dns.OptionPadding: "padding", 13: "chain", 14: "key-tag", dns.OptionEDE: "ede", 16: "client-tag", 17: "server-tag",
	dns.OptionReporting: "report-channel", dns.OptionZoneVersion: "zoneversion",
}

// appendEDNS appends the OPT record.
func (t *text) appendEDNS(e *event.Event) {
	o := &e.DNS.EDNS
	t.buf = appendUint(append(t.buf, "edns "...), uint64(o.Version))
	t.buf = appendUint(append(t.buf, " udp "...), uint64(o.UDPSize))
	for off := int(o.DataStart); ; {
		code, data, next := nextOption(e, off)
		if next < 0 {
			break
		}
		t.buf = append(t.buf, ", "...)
		if int(code) < len(optionNames) && optionNames[code] != "" {
			t.buf = append(t.buf, optionNames[code]...)
		} else {
			t.buf = appendUint(append(t.buf, "option"...), uint64(code))
		}
		t.appendOptionValue(code, data)
		off = next
	}
	t.buf = append(t.buf, "; "...)
}

func (t *text) appendOptionValue(code uint16, b []byte) {
	if len(b) == 0 {
		return
	}
	t.buf = append(t.buf, ' ')
	switch code {
	case dns.OptionSubnet:
		if at := len(t.buf); !t.appendClientSubnet(b) {
			t.buf = appendHex(t.buf[:at], b)
		}
	case dns.OptionNSID:
		t.buf = appendQuoted(t.buf, b)
	case dns.OptionPadding:
		t.buf = appendCount(t.buf, len(b), "byte")
	case dns.OptionEDE:
		if len(b) < 2 {
			t.buf = appendHex(t.buf, b)
			return
		}
		t.buf = appendUint(t.buf, uint64(binary.BigEndian.Uint16(b))) // its name and text are in the notes
	default:
		t.buf = appendHex(t.buf, b)
	}
}

// appendClientSubnet appends a client subnet as dig does: address, source and scope.
func (t *text) appendClientSubnet(b []byte) bool {
	if len(b) < 4 || len(b) > 20 {
		return false
	}
	var ip [16]byte
	copy(ip[:], b[4:])
	switch binary.BigEndian.Uint16(b) {
	case dns.FamilyIPv4:
		t.buf = appendIPv4(t.buf, ip[:])
	case dns.FamilyIPv6:
		t.buf = appendIPv6(t.buf, ip[:])
	default:
		return false
	}
	t.buf = appendUint(append(t.buf, '/'), uint64(b[2]))
	t.buf = appendUint(append(t.buf, '/'), uint64(b[3]))
	return true
}
