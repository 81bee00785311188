package format

import (
	"bytes"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strings"
	"time"

	"dnsmonster-sensor/outputs/columns"
	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// csvColumns are dnsmonster's columns, in its order. csv.row calls their accessors
// by name: through this table a row takes 50 % longer. A test compares the two.
var csvColumns = []columns.Named{
	columns.PacketTime.As("Year,Month,Day,Hour,Minute,Second,Ns"), columns.Server.As("Server"), columns.IPVersion.As("IPVersion"),
	columns.SrcIP.As("SrcIP"), columns.DstIP.As("DstIP"), columns.IPProtocol.As("Protocol"), columns.Response.As("Qr"), columns.Opcode.As("OpCode"),
	columns.QClass.As("Class"), columns.QType.As("Type"), columns.Rcode.As("ResponseCode"), columns.QName.As("Question"), columns.Length.As("Size"),
	columns.EDNS.As("Edns0Present"), columns.DO.As("DoBit"), columns.MessageID.As("ID"),
}

// CSVColumns returns the columns of CSV. The time takes several, whose names are
// separated by commas.
func CSVColumns() []columns.Named { return csvColumns }

// csvHeader is the first line, with its line end.
func csvHeader() string {
	var names []string
	for _, c := range csvColumns {
		names = append(names, c.Name)
	}
	return strings.Join(names, ",") + "\n"
}

// IPForm is how CSV writes addresses.
type IPForm uint8

// Forms of an address.
const (
	IPInteger IPForm = iota // as in dnsmonster: of IPv6 addresses only the upper 64 bits
	IPText
	IPUint128 // all bits, as an integer
)

var ipForms = []string{"integer", "text", "uint128"}

// ParseIPForm reads a form's name.
func ParseIPForm(name string) (IPForm, error) {
	i := slices.Index(ipForms, name)
	if i < 0 {
		return 0, fmt.Errorf("unknown form of addresses %q: use one of %s", name, strings.Join(ipForms, ", "))
	}
	return IPForm(i), nil
}

// csv writes a row for each question that the filter selects, or one without a name
// if the message has no question. Fields are quoted where RFC 4180 requires it.
type csv struct {
	values columns.Row
	server []byte // followed by a comma
	form   IPForm
	loc    *time.Location
	second int64
	date   []byte // of second: six fields, each followed by a comma
}

func newCSV(o Options) *csv {
	loc := o.Location
	if loc == nil {
		loc = time.UTC
	}
	return &csv{server: append(quoteCSV(nil, []byte(o.Server)), ','), form: o.CSVIP, loc: loc}
}

// Append appends e's rows.
func (c *csv) Append(dst []byte, e *event.Event) []byte {
	d, r := &e.DNS, &c.values
	r.Event = e
	if d.QDCount <= 1 || !d.HasQuestion {
		r.Question = event.Row{Type: d.QType, Class: d.QClass, HasQuestion: d.HasQuestion, Name: dns.HeaderLen}
		return c.row(dst, r)
	}
	for rows := e.Rows(); rows.Next(&r.Question); {
		dst = c.row(dst, r)
	}
	return dst
}

func (c *csv) row(dst []byte, r *columns.Row) []byte {
	dst = c.appendTime(dst, r.PacketTime())
	dst = append(dst, c.server...)
	dst = append(dst, '0'+byte(r.IPVersion()), ',')
	dst = append(c.appendIP(dst, r.SrcIP()), ',')
	dst = append(c.appendIP(dst, r.DstIP()), ',')
	dst = append(appendUint(dst, r.IPProtocol()), ',')
	dst = append(dst, '0'+byte(r.Response()), ',')
	dst = append(appendUint(dst, r.Opcode()), ',')
	dst = append(appendUint(dst, r.QClass()), ',')
	dst = append(appendUint(dst, r.QType()), ',')
	dst = append(appendUint(dst, r.Rcode()), ',')
	if r.Question.HasQuestion {
		dst = appendCSVName(dst, r.Event.Message, r.Question.Name)
	}
	dst = appendUint(append(dst, ','), r.Length())
	dst = append(dst, ',', '0'+byte(r.EDNS()), ',', '0'+byte(r.DO()), ',')
	return append(appendUint(dst, r.MessageID()), '\n')
}

func (c *csv) appendTime(dst []byte, ns int64) []byte {
	second, fraction := splitSecond(ns)
	if second != c.second || c.date == nil {
		c.second, c.date = second, time.Unix(second, 0).In(c.loc).AppendFormat(c.date[:0], "2006,1,2,")
		hour, minute, sec := time.Unix(second, 0).In(c.loc).Clock()
		for _, v := range [...]int{hour, minute, sec} {
			c.date = append(appendUint(c.date, uint64(v)), ',')
		}
	}
	dst = append(dst, c.date...)
	return append(appendUint(dst, uint64(fraction)), ',')
}

// appendIP appends an address. In every form an absent one is empty, since 0 is an
// address.
func (c *csv) appendIP(dst []byte, a netip.Addr) []byte {
	if c.form == IPText || !a.IsValid() {
		return appendAddr(dst, a)
	}
	if a.Is4() {
		b := a.As4()
		return appendUint(dst, uint64(b[0])<<24|uint64(b[1])<<16|uint64(b[2])<<8|uint64(b[3]))
	}
	b := a.As16()
	hi, lo := uint64(0), uint64(0)
	for i := range 8 {
		hi, lo = hi<<8|uint64(b[i]), lo<<8|uint64(b[8+i])
	}
	if c.form == IPInteger {
		return appendUint(dst, hi)
	}
	return appendUint128(dst, hi, lo)
}

func appendUint128(dst []byte, hi, lo uint64) []byte {
	const chunk = 1e19 // the highest power of ten that a uint64 holds
	if hi == 0 {
		return appendUint(dst, lo)
	}
	over, rest := hi/chunk, hi%chunk
	most, last := bits.Div64(rest, lo, chunk)
	upper, middle := bits.Div64(over, most, chunk)
	if upper > 0 {
		dst = appendPadded(appendUint(dst, upper), middle)
	} else {
		dst = appendUint(dst, middle)
	}
	return appendPadded(dst, last)
}

// appendPadded appends v with 19 digits.
func appendPadded(dst []byte, v uint64) []byte {
	const zeros = "0000000000000000000"
	var b [20]byte
	text := appendUint(b[:0], v)
	return append(append(dst, zeros[len(text):]...), text...)
}

var inCSVName = zoneClass(` .'@;()"\,`) // in a label: needs an escape or quotes

// appendCSVName appends a name, which is known to be good, as one field. It is fast for most
// names: those with no pointer and nothing to escape.
func appendCSVName(dst, msg []byte, name int) []byte {
	start, off := len(dst), name
	for {
		part, n := dns.ReadNamePart(msg, off)
		if part != dns.NameLabel {
			if len(dst) == start || part != dns.NameEnd { // the root, or a pointer
				return appendOddCSVName(dst[:start], msg, name)
			}
			return dst
		}
		label := msg[off+1 : off+1+n]
		odd := uint8(0)
		for _, b := range label {
			odd |= inCSVName[b]
		}
		if odd != asIs {
			return appendOddCSVName(dst[:start], msg, name)
		}
		dst = append(append(dst, label...), '.')
		off += 1 + n
	}
}

func appendOddCSVName(dst, msg []byte, off int) []byte {
	var room [1100]byte // 255 bytes on the wire, of which each can become four
	name, _ := dns.AppendName(room[:0], msg, off)
	return quoteCSV(dst, name)
}

// quoteCSV appends s as one field.
func quoteCSV(dst, s []byte) []byte {
	if bytes.IndexByte(s, ',') < 0 && bytes.IndexByte(s, '"') < 0 && bytes.IndexByte(s, '\n') < 0 && bytes.IndexByte(s, '\r') < 0 {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	for _, b := range s {
		if b == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, b)
	}
	return append(dst, '"')
}
