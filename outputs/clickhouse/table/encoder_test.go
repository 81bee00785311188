//go:build linux

package table

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go/proto"
	mdns "github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// encoded is the only part of a block in a table with one column beside PacketTime.
func encoded(t *testing.T, name, typ string, o Options, list ...*event.Event) (data []byte, clamped uint64) {
	t.Helper()
	parts := NewEncoder(planOf(t, tableOf(t, name, typ), o)).Encode(blockOf(list...), now)
	if len(parts) != 1 {
		t.Fatalf("%d parts", len(parts))
	}
	return joined(&parts[0].Columns[len(parts[0].Columns)-1]), parts[0].Clamped
}

// TestClamps: what does not fit becomes the nearest value, and is counted.
func TestClamps(t *testing.T) {
	e := func(change func(e *event.Event)) *event.Event {
		e := outputtest.Query(1)
		e.Message = bytes.Clone(e.Message)
		change(e)
		return e
	}
	at := func(ns int64) *event.Event { return e(func(e *event.Event) { e.Time = ns }) }
	src := func(a string) *event.Event {
		return e(func(e *event.Event) { e.Src = netip.AddrPortFrom(netip.MustParseAddr(a), 53) })
	}
	rcode := e(func(e *event.Event) { e.DNS.EDNS.ExtRcode = 255 })
	large := e(func(e *event.Event) { e.CaptureCut = 1 << 20 })
	none := e(func(e *event.Event) { e.Src = netip.AddrPort{} })
	proto := func(p event.Proto) *event.Event { return e(func(e *event.Event) { e.Proto = p }) }
	rate := e(func(e *event.Event) { e.Sample = packet.Ratio{Keep: 2, Of: 5} })
	for _, c := range []struct {
		name, typ string
		e         *event.Event
		want      string
		clamped   uint64
	}{
		{"PacketTime", "DateTime", at(0), "\x00\x00\x00\x00", 0},
		{"PacketTime", "DateTime", at(-1), "\x00\x00\x00\x00", 1},
		{"PacketTime", "DateTime", at(1<<32*1e9 - 1), "\xff\xff\xff\xff", 0},
		{"PacketTime", "DateTime", at(1 << 32 * 1e9), "\xff\xff\xff\xff", 1},
		{"PacketTime", "DateTime64(3)", at(-1), "\xff\xff\xff\xff\xff\xff\xff\xff", 0},
		{"PacketTime", "DateTime64(9)", at(-1 << 63), "\x00\x00\x2f\xdf\x63\x18\x58\xe1", 1},
		{"PacketTime", "Date", at(-1), "\x00\x00", 1},
		{"PacketTime", "Date", at(86400e9), "\x01\x00", 0},
		{"PacketTime", "Date", at(1<<63 - 1), "\xff\xff", 1},
		{"PacketTime", "Date32", at(-1), "\xff\xff\xff\xff", 0},
		{"PacketTime", "Date32", at(-1 << 63), "\x21\x9c\xff\xff", 1},
		{"ResponseCode", "UInt8", rcode, "\xff", 1},
		{"ResponseCode", "UInt16", rcode, "\xf0\x0f", 0},
		{"ResponseCode", "Nullable(UInt8)", rcode, "\x00\xff", 1},
		{"Size", "UInt16", large, "\xff\xff", 1},
		{"Size", "LowCardinality(UInt16)", large, string(dictionaryState) + "\x00\x06\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xff\xff\x01\x00\x00\x00\x00\x00\x00\x00\x00", 1},
		{"QR", "Bool", outputtest.Query(1), "\x00", 0},
		{"SrcPort", "Bool", src("192.0.2.1"), "\x01", 1},
		{"SrcIP", "IPv4", src("192.0.2.1"), "\x01\x02\x00\xc0", 0},
		{"SrcIP", "IPv4", src("::ffff:192.0.2.1"), "\x01\x02\x00\xc0", 0},
		{"SrcIP", "IPv4", src("2001:db8::1"), "\x00\x00\x00\x00", 1},
		{"SrcIP", "IPv4", none, "\x00\x00\x00\x00", 0},
		{"SrcIP", "FixedString(4)", src("192.0.2.1"), "\xc0\x00\x02\x01", 0},
		{"SrcIP", "FixedString(16)", src("192.0.2.1"), "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01", 0},
		{"SrcIP", "IPv6", none, strings.Repeat("\x00", 16), 0},
		{"SrcIP", "Nullable(IPv4)", none, "\x01\x00\x00\x00\x00", 0},
		{"SrcIP", "String", none, "\x00", 0},
		{"SrcIP", "String", src("2001:db8::1"), "\x0b2001:db8::1", 0},
		{"Protocol", "FixedString(3)", proto(event.DoQ), "doq", 0},
		{"Protocol", "FixedString(3)", proto(0), "\x00\x00\x00", 0},
		{"Protocol", "FixedString(3)", proto(packet.NumberedProto(8)), "8\x00\x00", 0},
		{"Protocol", "String", proto(0), "\x00", 0},
		{"Protocol", "String", proto(packet.NumberedProto(99)), "\x0299", 0},
		{"Protocol", "Nullable(String)", proto(0), "\x01\x00", 0},
		{"Protocol", "LowCardinality(String)", proto(0), string(dictionaryState) + "\x00\x06\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00", 0},
		{"Protocol", "LowCardinality(String)", proto(packet.NumberedProto(8)), string(dictionaryState) + "\x00\x06\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x018\x01\x00\x00\x00\x00\x00\x00\x00\x00", 0},
		{"Protocol", "FixedString(3)", proto(event.DNSCryptUDP), "dcu", 1},
		{"Protocol", "FixedString(3)", proto(event.DNSCryptTCP), "dct", 1},
		{"Protocol", "FixedString(2)", proto(event.UDP), "ud", 1},
		{"Protocol", "LowCardinality(FixedString(3))", proto(event.DNSCryptTCP), string(dictionaryState) + "\x00\x06\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00dct\x01\x00\x00\x00\x00\x00\x00\x00\x00", 1},
		{"Protocol", "Enum8('tcp' = 1, 'udp' = 2)", proto(event.UDP), "\x02", 0},
		{"Protocol", "Enum8('tcp' = 2, 'udp' = 1)", proto(event.DoH), "\x01", 1},
		{"Direction", "Nullable(Enum8('in' = 5, 'out' = 6))", proto(event.DoH), "\x01\x05", 0},
		{"Weight", "UInt8", rate, "\x03", 1},
		{"Weight", "Float64", rate, "\x00\x00\x00\x00\x00\x00\x04\x40", 0},
		{"Weight", "String", rate, "\x032.5", 0},
		{"Server", "FixedString(2)", at(1), "se", 1},
		{"VLAN", "Nullable(UInt16)", at(1), "\x01\x00\x00", 0},
		{"VLAN", "SimpleAggregateFunction(max, UInt16)", at(1), "\x00\x00", 0},
		{"FullQuery", "Nullable(String)", at(1), "\x01\x00", 0},
		{"Version", "LowCardinality(Nullable(String))", at(1), string(dictionaryState) + "\x00\x06\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00", 0},
		{"Server", "LowCardinality(Nullable(String))", at(1), string(dictionaryState) + "\x00\x06\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x07sensor1\x01\x00\x00\x00\x00\x00\x00\x00\x01", 0},
	} {
		got, clamped := encoded(t, c.name, c.typ, Options{Server: "sensor1"}, c.e)
		if string(got) != c.want || clamped != c.clamped {
			t.Errorf("%s as %s: %q, %d clamped, want %q, %d", c.name, c.typ, got, clamped, c.want, c.clamped)
		}
	}
}

// TestNothingClamped: our own table holds all values of all shapes of events as they are.
func TestNothingClamped(t *testing.T) {
	e := NewEncoder(planOf(t, ownTable(), Options{Server: "sensor1", FullQuery: true}))
	if e.Encode(shapes()[1], now); e.Clamped() != 0 || len(e.plan.Losses) != 0 {
		t.Errorf("%d values are clamped, losses %v", e.Clamped(), e.plan.Losses)
	}
}

// TestDictionaries: positions of one, two and four bytes, and a block with a small
// dictionary after one with a large one.
func TestDictionaries(t *testing.T) {
	e := NewEncoder(planOf(t, tableOf(t, "Question", "LowCardinality(String)"), Options{}))
	for _, n := range []int{1, 255, 256, 257, 65536, 65537, 3, 70000, 300} {
		b := outputtest.Queries(0, n+n/8)
		want := proto.NewLowCardinality(new(proto.ColStr))
		var ev event.Event
		for r := b.Reader(); r.Next(&ev); {
			want.Append(string(ev.AppendQName(nil)))
		}
		s := slow{ColInput: want}
		if got := joined(&e.Encode(b, now)[0].Columns[1]); !bytes.Equal(got, s.bytes(t)) {
			t.Errorf("%d names: %s", n, difference(got, s.bytes(t)))
		}
	}
}

// names returns a message whose questions are as many as fit.
func questions(n int) *event.Event {
	m := append(make([]byte, dns.HeaderLen), "\x07example\x03org\x00\x00\x01\x00\x01"...)
	for range n - 1 {
		m = append(m, "\x01a\xc0\x0c\x00\x01\x00\x01"...)
	}
	m[4], m[5] = byte(n>>8), byte(n)
	e := &event.Event{Time: now.UnixNano(), Message: m}
	dns.Read(m, false, &e.DNS)
	return e
}

// TestManyQuestions: an event with more rows than a chunk. Only the first row has the
// record.
func TestManyQuestions(t *testing.T) {
	o := Options{Server: "sensor1", FullQuery: true}
	b := blockOf(questions(1), questions(chunkRows), questions(chunkRows+1), questions(5000), questions(2))
	rows := rowsOf(b, o)
	p := NewEncoder(planOf(t, dnsmonsterTable(), o)).Encode(b, now)[0]
	if p.Rows != len(rows) || p.Rows != 1+chunkRows+chunkRows+1+5000+2 {
		t.Fatalf("%d rows, want %d", p.Rows, len(rows))
	}
	names, records := new(proto.ColStr), new(proto.ColStr)
	for i := range rows {
		names.Append(string(rows[i].QName(nil)))
		records.Append(string(rows[i].Record))
	}
	for i, want := range map[int]*proto.ColStr{15: names, 13: records} {
		var buf proto.Buffer
		if want.EncodeColumn(&buf); !bytes.Equal(joined(&p.Columns[i]), buf.Buf) {
			t.Errorf("%s: %s", p.Columns[i].Name, difference(joined(&p.Columns[i]), buf.Buf))
		}
	}
}

// TestEndString: lengths of one, two and three bytes.
func TestEndString(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 16383, 16384, 1 << 21} {
		var want proto.Buffer
		s := strings.Repeat("x", n)
		want.PutString(s)
		if got := endString(append([]byte("before\x00"), s...), 6); string(got) != "before"+string(want.Buf) {
			t.Errorf("a string of %d bytes begins with %x, want %x", n, got[6:10], want.Buf[:min(4, len(want.Buf))])
		}
	}
}

// TestEncodeAllocatesNothing: whatever the columns, only the first block allocates.
func TestEncodeAllocatesNothing(t *testing.T) {
	exotic := ownTable()
	for i, typ := range map[string]string{"PacketTime": "DateTime", "IndexTime": "Date", "Question": "LowCardinality(Nullable(String))", "SrcIP": "String", "DstIP": "Nullable(IPv4)",
		"Protocol": "Enum8('udp' = 1, 'tcp' = 2)", "AnswerName": "Array(LowCardinality(String))", "AnswerTTL": "Array(String)", "Weight": "String", "Identity": "FixedString(8)", "OpCode": "String"} {
		for k := range exotic.Columns {
			if exotic.Columns[k].Name == i {
				exotic.Columns[k].Type = typ
			}
		}
	}
	for name, d := range map[string]*Def{"dnsmonster's": dnsmonsterTable(), "our own": ownTable(), "exotic": exotic} {
		for _, full := range []bool{false, true} {
			e := NewEncoder(planOf(t, d, Options{Server: "sensor1", FullQuery: full}))
			blocks := append(shapes(), outputtest.Queries(0, 1000))
			encode := func() {
				for _, b := range blocks {
					e.Encode(b, now)
				}
			}
			for range 3 {
				encode()
			}
			if n := testing.AllocsPerRun(2, encode); n > 1 {
				t.Errorf("%s table, records %v: %v allocations for %d blocks, want 0", name, full, n, len(blocks))
			}
		}
	}
}

// TestBuffersShrink: after a huge batch the buffers become small again.
func TestBuffersShrink(t *testing.T) {
	for name, d := range map[string]*Def{"dnsmonster's": dnsmonsterTable(), "our own": ownTable()} {
		e := NewEncoder(planOf(t, d, Options{Server: "sensor1"}))
		small := outputtest.Queries(0, 100)
		e.Encode(small, now)
		before := e.Memory()
		e.Encode(outputtest.Queries(0, 100_000), now)
		huge := e.Memory()
		for range 3 * keepPeriod {
			e.Encode(small, now)
		}
		if after := e.Memory(); huge < 20*before || after > before+len(d.Columns)*keepBytes || after > huge/4 {
			t.Errorf("%s table: %d bytes before, %d with a huge batch, %d after", name, before, huge, after)
		}
	}
}

// TestHostileAnswers: a message whose names unfold to megabytes is encoded with an entry
// for each answer, and its memory is not kept.
func TestHostileAnswers(t *testing.T) {
	name := strings.Repeat("\x3f"+strings.Repeat("\x00", 63), 3) + "\x3d" + strings.Repeat("\x00", 61) + "\x00"
	const records = 4000
	m := append([]byte("\x00\x00\x84\x00\x00\x01\x0f\xa0\x00\x00\x00\x00"+name), 0, 5, 0, 1)
	for range records {
		m = append(m, "\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x00\x00\x02\xc0\x0c"...)
	}
	bomb := &event.Event{Message: m, Time: now.UnixNano()}
	dns.Read(m, false, &bomb.DNS)
	e := NewEncoder(planOf(t, ownTable(), Options{}))
	small := outputtest.Queries(0, 10)
	e.Encode(small, now)
	before := e.Memory()
	p := e.Encode(blockOf(bomb, outputtest.Query(1), bomb), now)[0]
	if p.Rows != 3 || e.Memory() < 4<<20 || e.Memory() > 20<<20 {
		t.Errorf("%d rows, %d bytes", p.Rows, e.Memory())
	}
	for _, c := range p.Columns {
		if strings.HasPrefix(c.Type, "Array") && strings.HasPrefix(c.Name, "Answer") {
			if ends := c.Data[0]; len(ends) != 24 || le.Uint64(ends[16:]) != 2*records {
				t.Errorf("%s: the arrays end at %x, want the last at %d", c.Name, ends, 2*records)
			}
		}
	}
	for range 3 * keepPeriod {
		e.Encode(small, now)
	}
	if after := e.Memory(); after > before+4<<20 {
		t.Errorf("%d bytes before, %d after", before, after)
	}
}

// FuzzEncode: any message and any addresses are encoded as ch-go encodes the values one by
// one.
func FuzzEncode(f *testing.F) {
	for _, e := range append(outputtest.Shapes(), answered()...) {
		if len(e.Message) < 2000 {
			f.Add(e.Time, byte(e.Proto), e.Src.Addr().AsSlice(), e.Message, e.Identity, uint8(3))
		}
	}
	f.Fuzz(func(t *testing.T, at int64, carrier byte, addr, message, identity []byte, n uint8) {
		e := &event.Event{Time: at, Proto: event.Proto(carrier), Message: message, Identity: identity}
		if a, ok := netip.AddrFromSlice(addr); ok {
			e.Src = netip.AddrPortFrom(a, uint16(at))
		}
		if !dns.Read(message, at%2 == 0, &e.DNS) {
			return
		}
		var list []*event.Event
		for range n%40 + 1 {
			list = append(list, e)
		}
		b, o := blockOf(list...), Options{Server: "sensor1", UseIdentity: carrier%2 == 0, FullQuery: carrier%4 < 2}
		rows := rowsOf(b, o)
		for _, typ := range slowColumns {
			for i, field := range fields {
				c := field.ID.Column()
				if !typ.kinds(c.Kind) || i%8 != int(n%8) {
					continue
				}
				want := typ.make()
				for i := range rows {
					want.add(valueOf(c, &rows[i].Row), !rows[i].has(c))
				}
				parts := NewEncoder(planOf(t, tableOf(t, field.Name, typ.typ), o)).Encode(b, now)
				if got := joined(&parts[0].Columns[len(parts[0].Columns)-1]); !bytes.Equal(got, want.bytes(t)) {
					t.Fatalf("%s as %s: %s", field.Name, typ.typ, difference(got, want.bytes(t)))
				}
			}
		}
	})
}

// cpuTime is the processor time of this process: others may use the machine too.
func cpuTime(b *testing.B) int64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatalf("get resource usage: %v", err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func benchmark(b *testing.B, d *Def, o Options, block *event.Block) {
	p, err := d.Plan(o)
	if err != nil {
		b.Fatal(err)
	}
	e := NewEncoder(p)
	rows := e.Encode(block, now)[0].Rows
	b.ReportAllocs()
	start := cpuTime(b)
	for b.Loop() {
		e.Encode(block, now)
	}
	b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N)/float64(rows), "cpu-ns/row")
}

// answerOf is a response with one record.
func answerOf(text string) *event.Event {
	m := new(mdns.Msg)
	m.SetQuestion("host12345.example.org.", mdns.TypeA)
	m.Response, m.RecursionAvailable, m.Compress = true, true, true
	rr, err := mdns.NewRR("host12345.example.org. " + text)
	if err != nil {
		panic(err)
	}
	m.Answer = []mdns.RR{rr}
	m.SetEdns0(1232, false)
	wire, err := m.Pack()
	if err != nil {
		panic(err)
	}
	e := outputtest.Query(1)
	e.Message = wire
	dns.Read(wire, false, &e.DNS)
	return e
}

// resolver is as many queries as responses.
func resolver(b *testing.B, response *event.Event) *event.Block {
	b.Helper()
	var list []*event.Event
	for i := range 5000 {
		r := *response
		r.Time = now.UnixNano() + int64(i)*13e3
		list = append(list, outputtest.Query(i), &r)
	}
	return blockOf(list...)
}

// BenchmarkEncode gives the time for one row. "walk" only reads the events.
func BenchmarkEncode(b *testing.B) {
	queries := outputtest.Queries(0, 10_000)
	for traffic, block := range map[string]*event.Block{"queries": queries, "resolver": resolver(b, answerOf("60 IN A 192.0.2.7")), "long-answers": resolver(b, answered()[0])} {
		b.Run("walk/"+traffic, func(b *testing.B) {
			var ev event.Event
			n, start := 0, cpuTime(b)
			for b.Loop() {
				for r := block.Reader(); r.Next(&ev); n++ {
				}
			}
			b.ReportMetric(float64(cpuTime(b)-start)/float64(n), "cpu-ns/row")
		})
		b.Run("columns=17/"+traffic, func(b *testing.B) { benchmark(b, dnsmonsterTable(), Options{Server: "sensor1"}, block) })
		b.Run("columns=17+record/"+traffic, func(b *testing.B) {
			benchmark(b, dnsmonsterTable(), Options{Server: "sensor1", FullQuery: true}, block)
		})
		b.Run("columns=own/"+traffic, func(b *testing.B) { benchmark(b, ownTable(), Options{Server: "sensor1"}, block) })
	}
	for _, f := range fields {
		b.Run("column="+f.Name, func(b *testing.B) { benchmark(b, tableOf(b, f.Name, f.typ), Options{Server: "sensor1"}, queries) })
	}
}

// TestShortProtocolAfterLongOnes: a column whose memory held other rows has nothing of them.
func TestShortProtocolAfterLongOnes(t *testing.T) {
	var c column
	for _, p := range []event.Proto{event.DoQ, packet.NumberedProto(8), 0} {
		c.buf = c.buf[:0]
		var r row
		r.Event = &event.Event{Proto: p}
		fillProtocol3(&c, []row{r})
		if want := (p.Short() + "\x00\x00\x00")[:3]; string(c.buf) != want {
			t.Errorf("%d is %q, want %q", p, c.buf, want)
		}
	}
}
