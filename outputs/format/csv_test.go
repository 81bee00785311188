package format

import (
	"bytes"
	"encoding/binary"
	stdcsv "encoding/csv"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"dnsmonster-sensor/outputs/columns"
	"dnsmonster-sensor/userspace/event"
)

func rows(o Options, msgs ...[]byte) string {
	enc, text := newCSV(o), []byte(nil)
	for _, m := range msgs {
		text = enc.Append(text, eventOf(m, 0))
	}
	return string(text)
}

// TestCSVGolden: the header and a row are byte for byte those of dnsmonster.
func TestCSVGolden(t *testing.T) {
	f, err := New("csv", Options{Server: "default"})
	if err != nil {
		t.Fatal(err)
	}
	m := query("www.example.com.")
	m.SetEdns0(1232, true)
	e := eventOf(pack(t, m), 0)
	e.Src, e.Dst = netip.MustParseAddrPort("10.0.0.1:5353"), netip.MustParseAddrPort("10.0.0.53:53")
	const want = "Year,Month,Day,Hour,Minute,Second,Ns,Server,IPVersion,SrcIP,DstIP,Protocol,Qr,OpCode,Class,Type,ResponseCode,Question,Size,Edns0Present,DoBit,ID\n" +
		"2023,11,14,22,13,20,0,default,4,167772161,167772213,17,0,0,1,1,0,www.example.com.,44,1,1,7\n"
	if got := string(f.NewEncoder().Append([]byte(f.Header), e)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestDefect24CSVQuotes: fields were not quoted. A reader of RFC 4180 gets any name of
// a question or sensor back.
func TestDefect24CSVQuotes(t *testing.T) {
	f := func(server, name, want string) {
		t.Helper()
		text := rows(Options{Server: server}, pack(t, query(name)))
		r := stdcsv.NewReader(strings.NewReader(text))
		r.FieldsPerRecord = 22
		list, err := r.ReadAll()
		if err != nil || len(list) != 1 {
			t.Errorf("%q: %d records, error %v: %s", name, len(list), err, text)
			return
		}
		if list[0][7] != server || list[0][17] != want {
			t.Errorf("server %q and question %q, want %q and %q", list[0][7], list[0][17], server, want)
		}
	}
	f("default", "www.example.org.", "www.example.org.")
	f("default", ".", ".")
	f("default", `a,b.example.org.`, `a,b.example.org.`)
	f("default", `a\"b.example.org.`, `a\"b.example.org.`)
	f("default", `\".`, `\".`)
	f("default", `a\010b\013.example.org.`, `a\010b\013.example.org.`)
	f("default", `a\.b.example.org.`, `a\.b.example.org.`)
	f("default", `\000\255.`, `\000\255.`)
	f(`one, "two"`+"\n", "example.org.", "example.org.")
	f("", "example.org.", "example.org.")
}

// TestCSVRows: one row for each question, or one without a name if there is none.
func TestCSVRows(t *testing.T) {
	m := query("one.example.org.")
	m.Question = append(m.Question, mdns.Question{Name: "two.example.org.", Qtype: mdns.TypeMX, Qclass: mdns.ClassCHAOS})
	two := rows(Options{}, pack(t, m))
	if strings.Count(two, "\n") != 2 || !strings.Contains(two, ",1,1,0,one.example.org.,") || !strings.Contains(two, ",3,15,0,two.example.org.,") {
		t.Errorf("two questions: %s", two)
	}
	if none := rows(Options{}, pack(t, new(mdns.Msg))); strings.Count(none, "\n") != 1 || !strings.Contains(none, ",0,0,0,,12,0,0,0\n") {
		t.Errorf("no question: %s", none)
	}
}

func TestCSVAddresses(t *testing.T) {
	f := func(form, addr, want string) {
		t.Helper()
		ip, err := ParseIPForm(form)
		if err != nil {
			t.Fatal(err)
		}
		got := string(newCSV(Options{CSVIP: ip}).appendIP(nil, netip.MustParseAddr(addr)))
		if got != want {
			t.Errorf("%s as %s: %s, want %s", addr, form, got, want)
		}
	}
	f("integer", "192.0.2.1", "3221225985")
	f("integer", "2001:db8::1", "2306139568115548160")
	f("integer", "ffff:ffff:ffff:ffff::", "18446744073709551615")
	f("text", "192.0.2.1", "192.0.2.1")
	f("text", "2001:db8::1", "2001:db8::1")
	f("uint128", "192.0.2.1", "3221225985")
	f("uint128", "::1", "1")
	f("uint128", "2001:db8::1", "42540766411282592856903984951653826561")
	f("uint128", "0:0:0:1::", "18446744073709551616")
	f("uint128", "8ac7:2304:89e8::", "184467440737095516160000000000000000000")
	f("uint128", "fe80::1", "338288524927261089654018896841347694593")
	f("uint128", "ff02::fb", "338963523518870617245727861364146307323")
	f("uint128", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "340282366920938463463374607431768211455")
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		var a [16]byte
		binary.BigEndian.PutUint64(a[:], r.Uint64()>>r.IntN(64))
		binary.BigEndian.PutUint64(a[8:], r.Uint64())
		f("uint128", netip.AddrFrom16(a).String(), new(big.Int).SetBytes(a[:]).String())
	}
	if _, err := ParseIPForm("hex"); err == nil || !strings.Contains(err.Error(), "integer, text, uint128") {
		t.Errorf("error %v, want a list of the forms", err)
	}
}

// TestCSVTimes: times before 1970 and in another time zone.
func TestCSVTimes(t *testing.T) {
	f := func(ns int64, zone *time.Location, want string) {
		t.Helper()
		if got := string(newCSV(Options{Location: zone}).appendTime(nil, ns)); got != want {
			t.Errorf("%d: %s, want %s", ns, got, want)
		}
	}
	f(0, nil, "1970,1,1,0,0,0,0,")
	f(-1, nil, "1969,12,31,23,59,59,999999999,")
	f(1700000000_000000001, nil, "2023,11,14,22,13,20,1,")
	f(1700000000_999999999, time.FixedZone("", 5*3600+45*60), "2023,11,15,3,58,20,999999999,")
	text, c := []byte(nil), newCSV(Options{})
	for _, ns := range []int64{1700000000e9, 1700000000e9 + 1, 1700000001e9, 1700000000e9} {
		text = c.appendTime(text, ns)
	}
	const day = "2023,11,14,22,13,"
	if want := day + "20,0," + day + "20,1," + day + "21,0," + day + "20,0,"; string(text) != want {
		t.Errorf("times of one encoder: %s, want %s", text, want)
	}
}

// throughTheTable makes e's rows from the table of columns.
func throughTheTable(o Options, e *event.Event) (text []byte) {
	c := newCSV(o)
	r := &columns.Row{Event: e, Sensor: []byte(o.Server)}
	for rows := e.Rows(); rows.Next(&r.Question); text = append(text, '\n') {
		for i, n := range CSVColumns() {
			if i > 0 {
				text = append(text, ',')
			}
			switch column := n.ID.Column(); column.Kind {
			case columns.Time:
				text = bytes.TrimSuffix(c.appendTime(text, column.Time(r)), []byte{','})
			case columns.Addr:
				text = c.appendIP(text, column.Addr(r))
			case columns.Uint, columns.Bool:
				text = strconv.AppendUint(text, column.Uint(r), 10)
			default:
				text = quoteCSV(text, column.Append(r, nil))
			}
		}
	}
	return text
}

// TestCSVIsTheTable: rows are those made from the table of columns, for messages of all
// kinds.
func TestCSVIsTheTable(t *testing.T) {
	m := query("one,two.example.org.")
	m.SetEdns0(1232, true)
	m.Question = append(m.Question, mdns.Question{Name: "two.example.org.", Qtype: mdns.TypeMX, Qclass: mdns.ClassCHAOS})
	seeds := [][]byte{pack(t, m), pack(t, query("www.example.org.")), pack(t, new(mdns.Msg))}
	ends := []string{"", ":5353", "192.0.2.1:53", "[2001:db8::1]:40000", "[::ffff:192.0.2.1]:53"}
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 5000 {
		msg := bytes.Clone(seeds[r.IntN(len(seeds))])
		for range r.IntN(4) {
			msg[r.IntN(len(msg))] = byte(r.Uint32())
		}
		msg = msg[:max(12, len(msg)-r.IntN(2)*r.IntN(len(msg)))]
		e := eventOf(msg, 0)
		e.Time = int64(r.Uint64()) >> r.IntN(64)
		e.Src, e.Dst, e.Proto = addrPort(ends[r.IntN(len(ends))]), addrPort(ends[r.IntN(len(ends))]), event.Proto(r.IntN(9))
		e.CaptureCut = r.Uint32() >> r.IntN(32)
		o := Options{Server: []string{"default", `a "b", c`}[i%2], CSVIP: IPForm(i % 3)}
		if got, want := newCSV(o).Append(nil, e), throughTheTable(o, e); !bytes.Equal(got, want) {
			t.Fatalf("message %x gives\n%swant\n%s", msg, got, want)
		}
	}
}
