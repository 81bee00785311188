package format

import (
	"bytes"
	"encoding/json"
	"net"
	"time"

	mdns "github.com/miekg/dns"

	"dnsmonster-sensor/userspace/event"
)

// reference makes JSON records the simple way: encoding/json on a miekg/dns Msg, with
// the escapes changed afterwards.
type reference struct{ buf bytes.Buffer }

// record has the names and the order of the fields.
type record struct {
	Timestamp    time.Time
	DNS          *mdns.Msg
	IPVersion    uint8
	SrcIP        net.IP
	SrcPort      uint16 `json:",omitempty"`
	DstIP        net.IP
	DstPort      uint16 `json:",omitempty"`
	Protocol     string
	PacketLength int
	Identity     string     `json:",omitempty"`
	Version      string     `json:",omitempty"`
	Malformed    *malformed `json:",omitempty"`
	CaptureCut   uint32     `json:",omitempty"`
}

type malformed struct {
	Section string
	Index   uint16
	Why     string
}

// Append appends e's record, whatever its message holds.
func (j *reference) Append(dst []byte, e *event.Event) []byte {
	m, bad := decode(e, nil)
	r := record{
		Timestamp:    e.When(),
		DNS:          &m,
		IPVersion:    e.IPVersion(),
		SrcIP:        netIP(e.Src.Addr()),
		SrcPort:      e.Src.Port(),
		DstIP:        netIP(e.Dst.Addr()),
		DstPort:      e.Dst.Port(),
		Protocol:     e.Proto.String(),
		PacketLength: e.Length(),
		Identity:     string(e.Identity),
		Version:      string(e.Version),
		CaptureCut:   e.CaptureCut,
	}
	if bad.Yes() {
		r.Malformed = &malformed{bad.Section.String(), bad.Index, bad.Fault.String()}
	}
	if err := j.encode(&r); err != nil {
		panic("encode a record: " + err.Error())
	}
	return append(dst, validUTF8(appendEscaped(nil, j.buf.Bytes()))...)
}

func (j *reference) encode(r *record) error {
	j.buf.Reset()
	enc := json.NewEncoder(&j.buf)
	enc.SetEscapeHTML(false)
	return enc.Encode(r) // with the line end
}

// appendEscaped appends JSON text of encoding/json with sonic's escapes: \b and \f by
// number, U+2028 and U+2029 unescaped.
func appendEscaped(dst, text []byte) []byte {
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 {
			return append(dst, text...)
		}
		dst = append(dst, text[:i]...)
		text = text[i:]
		n := 2
		switch {
		case text[1] == 'b':
			dst = append(dst, `\u0008`...)
		case text[1] == 'f':
			dst = append(dst, `\u000c`...)
		case bytes.HasPrefix(text, []byte(`\u2028`)):
			dst = append(dst, "\u2028"...)
			n = 6
		case bytes.HasPrefix(text, []byte(`\u2029`)):
			dst = append(dst, "\u2029"...)
			n = 6
		default:
			dst = append(dst, text[:n]...)
		}
		text = text[n:]
	}
}
