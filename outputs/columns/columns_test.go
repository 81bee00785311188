package columns

import (
	"bytes"
	"fmt"
	"math/bits"
	"net/netip"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// message is a response with two questions, A for example.org and MX for
// www.example.org, an answer, an OPT record with DO, a client
// subnet and two extended errors, and a byte too many.
const message = "\x12\x34\xad\xb0\x00\x02\x00\x01\x00\x00\x00\x01\x07example\x03org\x00\x00\x01\x00\x01" +
	"\x03www\xc0\x0c\x00\x0f\x00\x03\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04abcd" +
	"\x00\x00\x29\x04\xd0\x05\x01\x80\x00\x00\x19" +
	"\x00\x08\x00\x07\x00\x01\x18\x00\xc0\x00\x02" + "\x00\x0f\x00\x04\x00\x12hi" + "\x00\x0f\x00\x02\x00\x03" + "x"

// full is an event with every field set.
func full() *event.Event {
	e := &event.Event{
		Time: 1700000000_000000001, QueryTime: 1700000000_000000002, ResponseTime: 1700000000_000000003,
		Src: netip.MustParseAddrPort("192.0.2.1:53"), Dst: netip.MustParseAddrPort("[2001:db8::2]:40000"),
		Proto: event.DNSCryptTCP, Direction: packet.DirectionOut, Tunnel: packet.TunnelGENEVE, HasVLAN: true, VLAN: 0x3007,
		Interface: 3, Sample: packet.Ratio{Keep: 2, Of: 5}, CaptureCut: 9, Identity: []byte("ns1"), Version: []byte("v2"),
		Message: []byte(message), Fields: event.AppendField(nil, event.FirstField, []byte("x")),
	}
	dns.Read(e.Message, false, &e.DNS)
	return e
}

// rowsOf returns the rows of an event, as an output fills them.
func rowsOf(e *event.Event) (list []*Row) {
	var question event.Row
	for rows := e.Rows(); rows.Next(&question); {
		r := &Row{Event: e, Question: question, Sensor: []byte("sensor1"), Now: 1700000000_000000004}
		r.InterfaceName = func(number uint32, _ int64) string { return "eth12345"[:3+number] }
		r.AppendData = func(dst, message []byte, off int, rrtype uint16, _ int) []byte {
			return fmt.Appendf(dst, "data of type %d: %s", rrtype, message[off:])
		}
		if len(list) == 0 {
			r.ReadAnswers(nil)
			r.Record = []byte(`{"DNS":{}}`)
		}
		list = append(list, r)
	}
	return list
}

// text is a value of any kind as text, "-" if there is none.
func text(c *Column, r *Row) string {
	if !c.HasValue(r) {
		return "-"
	}
	return string(value(c, r))
}

// value reads a value by its kind, as every output does.
func value(c *Column, r *Row) []byte {
	switch c.Kind {
	case Time:
		return fmt.Append(nil, c.Time(r))
	case Uint, Bool:
		return fmt.Append(nil, c.Uint(r))
	case Float:
		return fmt.Append(nil, c.Float(r))
	case Addr:
		return fmt.Append(nil, c.Addr(r))
	case Uints:
		if list := c.Uints(r, nil); len(list) > 0 {
			return fmt.Append(nil, list)
		}
		return nil
	case Texts:
		var list TextList
		c.Texts(r, &list)
		return texts(&list)
	default:
		return c.Append(r, nil)
	}
}

// texts is the texts of a list, each in quotes.
func texts(list *TextList) (b []byte) {
	for i := range list.Len() {
		b = strconv.AppendQuote(b, string(list.At(i)))
	}
	return b
}

// TestValues: all columns of the first row of a full event, and of a row of an event
// with only a header.
func TestValues(t *testing.T) {
	first, bare := rowsOf(full())[0], &Row{Event: &event.Event{Message: make([]byte, dns.HeaderLen)}}
	seen := 0
	f := func(id ID, full, empty string) {
		t.Helper()
		seen++
		if got := text(id.Column(), first); got != full {
			t.Errorf("%s: %q, want %q", id.Column().Name, got, full)
		}
		if got := text(id.Column(), bare); got != empty {
			t.Errorf("%s without anything: %q, want %q", id.Column().Name, got, empty)
		}
	}
	f(PacketTime, "1700000000000000001", "0")
	f(QueryTime, "1700000000000000002", "-")
	f(ResponseTime, "1700000000000000003", "-")
	f(IndexTime, "1700000000000000004", "0")
	f(Server, "sensor1", "")
	f(Identity, "ns1", "-")
	f(Version, "v2", "-")
	f(Interface, "eth123", "-")
	f(Direction, "out", "-")
	f(IPVersion, "4", "-")
	f(SrcIP, "192.0.2.1", "-")
	f(SrcPort, "53", "-")
	f(DstIP, "2001:db8::2", "-")
	f(DstPort, "40000", "-")
	f(Protocol, "dnscrypttcp", "-")
	f(ProtocolShort, "dct", "-")
	f(IPProtocol, "6", "-")
	f(VLAN, "7", "-")
	f(Tunnel, "geneve", "-")
	f(SampleRate, "2.5", "1")
	f(Length, fmt.Sprint(len(message)+9), "12")
	f(CaptureCut, "9", "0")
	f(MessageID, "4660", "0")
	f(Response, "1", "0")
	f(Opcode, "5", "0")
	f(Authoritative, "1", "0")
	f(Truncated, "0", "0")
	f(RecursionDesired, "1", "0")
	f(RecursionAvailable, "1", "0")
	f(AuthenticData, "1", "0")
	f(CheckingDisabled, "1", "0")
	f(Rcode, "80", "0")
	f(Questions, "2", "0")
	f(Answers, "1", "0")
	f(Authorities, "0", "0")
	f(Additionals, "1", "0")
	f(QName, "example.org.", "-")
	f(QType, "1", "-")
	f(QClass, "1", "-")
	f(EDNS, "1", "0")
	f(EDNSVersion, "1", "-")
	f(EDNSUDPSize, "1232", "-")
	f(ClientSubnet, "192.0.2.0/24", "-")
	f(ExtendedErrors, "[18 3]", "-")
	f(DO, "1", "0")
	f(AnswerName, `"example.org."`, "-")
	f(AnswerType, "[1]", "-")
	f(AnswerTTL, "[60]", "-")
	f(AnswerData, `"data of type 1: abcd"`, "-")
	f(Malformed, "end 1: bytes after the last record", "-")
	f(Message, message, strings.Repeat("\x00", dns.HeaderLen))
	f(FullRecord, `{"DNS":{}}`, "-")
	if seen != Count {
		t.Errorf("%d columns are tested, there are %d", seen, Count)
	}
	misfit := full()
	misfit.Message = []byte(strings.Replace(message, "\x00\x04abcd", "\x00\x03abc", 1))
	dns.Read(misfit.Message, false, &misfit.DNS)
	if got, want := text(Malformed.Column(), rowsOf(misfit)[0]), "answer 0: bad record data"; got != want {
		t.Errorf("data that do not fit: %q, want %q", got, want)
	}
	second := rowsOf(full())[1]
	if got := text(QName.Column(), second) + text(QType.Column(), second) + text(QClass.Column(), second) + text(FullRecord.Column(), second); got != "www.example.org.153-" {
		t.Errorf("the second row has %s", got)
	}
}

// TestTable: each line is complete.
func TestTable(t *testing.T) {
	names := make(map[string]bool)
	for id := range ID(Count) {
		c := id.Column()
		if c.Name == "" || names[c.Name] || c.Doc == "" {
			t.Errorf("column %d: the name %q is not unique or missing, or its description is missing: %q", id, c.Name, c.Doc)
		}
		names[c.Name] = true
		set := map[string]bool{"Time": c.Time != nil, "Uint": c.Uint != nil, "Float": c.Float != nil, "Addr": c.Addr != nil, "Append": c.Append != nil, "Uints": c.Uints != nil, "Texts": c.Texts != nil}
		want, ok := map[Kind]string{Time: "Time", Uint: "Uint", Bool: "Uint", Float: "Float", Addr: "Addr", Text: "Append", JSON: "Append", Bytes: "Append", Uints: "Uints", Texts: "Texts"}[c.Kind]
		for accessor, there := range set {
			if !ok || there != (accessor == want) {
				t.Errorf("%s, %s: accessor %s set: %v", c.Name, c.Kind, accessor, there)
			}
		}
		if (c.Kind == Uint || c.Kind == Uints) != (c.Bits > 0) || c.Kind != Text && c.Chars > 0 {
			t.Errorf("%s, %s: %d bits, %d characters", c.Name, c.Kind, c.Bits, c.Chars)
		}
		if (c.Present == nil) != (c.Absent == "") {
			t.Errorf("%s: absent if %q, has Present: %v", c.Name, c.Absent, c.Present != nil)
		}
	}
}

// TestAccessorsAreColumns: each method of Row that gives a value is the accessor of exactly
// one column.
func TestAccessorsAreColumns(t *testing.T) {
	used := make(map[string]string)
	for id := range ID(Count) {
		c := reflect.ValueOf(id.Column()).Elem()
		for _, accessor := range []string{"Time", "Uint", "Float", "Addr", "Append", "Uints", "Texts"} {
			if f := c.FieldByName(accessor); !f.IsNil() {
				name := runtime.FuncForPC(f.Pointer()).Name()
				name = name[strings.LastIndexByte(name, '.')+1:]
				if used[name] != "" {
					t.Errorf("%s and %s are both Row.%s", used[name], id.Column().Name, name)
				}
				used[name] = id.Column().Name
			}
		}
	}
	row := reflect.TypeFor[*Row]()
	for i := range row.NumMethod() {
		if name := row.Method(i).Name; used[name] == "" && !strings.HasSuffix(name, "Answers") {
			t.Errorf("Row.%s is in no column", name)
		}
	}
}

// notInColumns are the fields of an event that no column shows, with the reason.
var notInColumns = map[string]string{
	"Fields":     "each type that gets a meaning gets a column of its own",
	"DNS.QType":  "of the first question; each row has its own",
	"DNS.QClass": "likewise",
}

// TestEveryFieldHasAColumn: each field of an event changes the value of a column or,
// as the filter's bits do, the number of rows. A new field in event.Event or in a
// struct inside it needs a column, or a reason in notInColumns.
func TestEveryFieldHasAColumn(t *testing.T) {
	seen := make(map[string]bool)
	paths := leaves("", reflect.TypeFor[event.Event]())
	for _, path := range paths {
		e := full()
		before := allText(e)
		change(t, e, path)
		shown, why := allText(e) != before, notInColumns[path]
		if shown == (why != "") {
			t.Errorf("event field %s: shown in a column: %v; exception: %q", path, shown, why)
		}
		seen[path] = true
	}
	for path := range notInColumns {
		if !seen[path] {
			t.Errorf("%s is an exception, but not a field of an event", path)
		}
	}
	if len(paths) < 35 {
		t.Errorf("only %d fields found: %v", len(paths), paths)
	}
}

// leaves returns the paths of all fields that are not structs of this program.
func leaves(path string, of reflect.Type) (list []string) {
	if of.Kind() != reflect.Struct || !strings.HasPrefix(of.PkgPath(), "dnsmonster-sensor/") {
		return []string{path}
	}
	for i := range of.NumField() {
		f := of.Field(i)
		inner := strings.TrimPrefix(path+"."+f.Name, ".")
		list = append(list, leaves(inner, f.Type)...)
	}
	return list
}

// change changes the value of a field.
func change(t *testing.T, e *event.Event, path string) {
	v := reflect.ValueOf(e).Elem()
	for name := range strings.SplitSeq(path, ".") {
		v = v.FieldByName(name)
	}
	switch {
	case v.Type() == reflect.TypeFor[netip.AddrPort]():
		v.Set(reflect.ValueOf(netip.MustParseAddrPort("198.51.100.7:7")))
	case v.Kind() == reflect.Bool:
		v.SetBool(!v.Bool())
	case v.CanInt():
		v.SetInt(v.Int() + 1)
	case v.CanUint():
		v.SetUint(v.Uint() ^ 1)
	case v.Kind() == reflect.Slice:
		v.SetBytes(append(bytes.Clone(v.Bytes()), 'x'))
	default:
		t.Fatalf("%s is a %s, which change does not know", path, v.Type())
	}
}

// allText is the text of all columns of all rows.
func allText(e *event.Event) string {
	var b strings.Builder
	for _, r := range rowsOf(e) {
		for id := range ID(Count) {
			fmt.Fprintf(&b, "%s=%q\n", id.Column().Name, text(id.Column(), r))
		}
	}
	return b.String()
}

// TestBounds: no value exceeds the limit of its column, text is printable, and absent
// values are empty.
func TestBounds(t *testing.T) {
	f := func(r *Row) {
		t.Helper()
		for id := range ID(Count) {
			c := id.Column()
			v := value(c, r)
			switch {
			case c.Kind == Uint && bits.Len64(c.Uint(r)) > c.Bits, c.Kind == Bool && c.Uint(r) > 1:
				t.Errorf("%s is %s, more than %d bits", c.Name, v, c.Bits)
			case c.Kind == Text && (c.Chars > 0 && len(v) > c.Chars || !utf8.Valid(v) || bytes.IndexByte(v, 0) >= 0):
				t.Errorf("%s is %q, want at most %d characters", c.Name, v, c.Chars)
			case !c.HasValue(r) && string(v) != "" && string(v) != "0" && string(v) != "invalid IP":
				t.Errorf("%s is absent, but %q", c.Name, v)
			}
		}
	}
	e := full()
	for p := range 256 {
		e.Proto, e.Tunnel, e.Direction = event.Proto(p), packet.Tunnel(p), packet.Direction(p)
		f(rowsOf(e)[0])
	}
	wire := append(bytes.Repeat([]byte{0xff}, dns.HeaderLen), 0) // a header, and the root
	wide := &event.Event{
		Proto: 255, HasVLAN: true, VLAN: 0xffff, CaptureCut: 1<<32 - 2 - dns.HeaderLen, Sample: packet.Ratio{Keep: 1, Of: 1<<32 - 1},
		Message: wire, Src: netip.AddrPortFrom(netip.Addr{}, 65535), Dst: netip.AddrPortFrom(netip.Addr{}, 65535),
	}
	wide.DNS.EDNS = dns.EDNS{Present: true, Version: 255, ExtRcode: 255, UDPSize: 65535}
	wide.DNS.Flags, wide.DNS.QDCount, wide.DNS.ANCount = 65535, 65535, 65535
	f(&Row{Event: wide, Question: event.Row{Type: 65535, Class: 65535, HasQuestion: true, Name: dns.HeaderLen}})
	name := append(bytes.Clone(make([]byte, dns.HeaderLen)), "\x04\x00\xff\xc3\xbc\x00\x00\x01\x00\x01"...)
	name[5] = 1
	odd := &event.Event{Message: name}
	dns.Read(name, false, &odd.DNS)
	f(rowsOf(odd)[0])
	f(&Row{Event: &event.Event{}})
}

func TestAccessorsAllocateNothing(t *testing.T) {
	r, dst := rowsOf(full())[0], make([]byte, 0, 1<<16)
	r.AppendData = func(dst, message []byte, off int, _ uint16, _ int) []byte { return append(dst, message[off:]...) }
	numbers, list := make([]uint32, 0, 8), TextList{make([]byte, 0, 1<<10), make([]int, 0, 8)}
	sum := uint64(0)
	if n := testing.AllocsPerRun(100, func() {
		for id := range ID(Count) {
			c := id.Column()
			switch {
			case !c.HasValue(r):
			case c.Time != nil:
				sum += uint64(c.Time(r))
			case c.Uint != nil:
				sum += c.Uint(r)
			case c.Float != nil:
				sum += uint64(c.Float(r))
			case c.Addr != nil:
				sum += uint64(c.Addr(r).BitLen())
			case c.Uints != nil:
				numbers = c.Uints(r, numbers[:0])
			case c.Texts != nil:
				list.Reset()
				c.Texts(r, &list)
			default:
				dst = c.Append(r, dst[:0])
			}
		}
	}); n != 0 || sum == 0 {
		t.Errorf("all columns of a row allocate %v times, want 0", n)
	}
}

// TestListsAreBounded: whatever the names of a message unfold to, and however wrong its
// options are, lists have an entry for each answer and a bounded length.
func TestListsAreBounded(t *testing.T) {
	name := strings.Repeat("\x3f"+strings.Repeat("\x00", 63), 3) + "\x3d" + strings.Repeat("\x00", 61) + "\x00"
	const records = 4000
	m := append([]byte("\x00\x00\x84\x00\x00\x01\x0f\xa0\x00\x00\x00\x00"+name), 0, 5, 0, 1)
	for range records {
		m = append(m, "\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x00\x00\x02\xc0\x0c"...)
	}
	e := &event.Event{Message: m}
	dns.Read(m, false, &e.DNS)
	r := &Row{Event: e}
	r.ReadAnswers(nil)
	r.AppendData = func(dst, message []byte, off int, _ uint16, _ int) []byte {
		dst, _ = dns.AppendName(dst, message, off)
		return dst
	}
	for _, id := range []ID{AnswerName, AnswerData} {
		var list TextList
		id.Column().Texts(r, &list)
		if most := 16*(len(m)+1024) + 1100; list.Len() != records || len(list.Bytes) > most || len(list.At(0)) < 250 || len(list.At(records-1)) != 0 {
			t.Errorf("%s: %d texts of %d bytes, want %d of at most %d", id.Column().Name, list.Len(), len(list.Bytes), records, most)
		}
	}
	if n := len(AnswerTTL.Column().Uints(r, nil)); n != records {
		t.Errorf("%d times to live, want %d", n, records)
	}
}

// TestOptions: subnets and errors that are not whole give no value.
func TestOptions(t *testing.T) {
	for data, want := range map[string]string{
		"\x00\x08\x00\x08\x00\x02\x20\x00\x20\x01\x0d\xb8": "2001:db8::/32 []",
		"\x00\x08\x00\x08\x00\x01\x14\x00\xc0\x00\xff\xff": "192.0.240.0/20 []", // bits after the prefix
		"\x00\x08\x00\x04\x00\x01\x00\x00":                 "0.0.0.0/0 []",
		"\x00\x08\x00\x04\x00\x00\x00\x00":                 " []", // no family
		"\x00\x08\x00\x06\x00\x01\x18\x00\xc0\x00":         " []", // too short
		"\x00\x08\x00\x08\x00\x01\x21\x00\xc0\x00\x02\x01": " []", // a prefix of 33 bits
		"\x00\x08\x00\x02\x00\x01":                         " []",
		"\x00\x0f\x00\x01\x00\x00\x0f\x00\x02\x00\x09":     " [9]", // the first has no code
		"\x00\x0f\x00\x02\x00\x07\x00\x0f\xff\xff\x00":     " [7]", // the second runs past the end
		"\x00\x0f": " []",
		"":         " []",
	} {
		m := append(make([]byte, dns.HeaderLen), 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, byte(len(data)))
		m[11] = 1
		e := &event.Event{Message: append(m, data...)}
		dns.Read(e.Message, false, &e.DNS)
		r := &Row{Event: e}
		got := fmt.Sprint(string(r.ClientSubnet(nil)), " ", r.ExtendedErrors([]uint32{}))
		if got != want || r.hasClientSubnet() != (want[0] != ' ') || r.hasExtendedErrors() != !strings.HasSuffix(want, "[]") {
			t.Errorf("%x: %s, want %s", data, got, want)
		}
	}
}
