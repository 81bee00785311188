package table

import (
	"bytes"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"dnsmonster-sensor/outputs/clickhouse/server"
	"dnsmonster-sensor/outputs/columns"
	"dnsmonster-sensor/outputs/format"
	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// now is when the rows of the tests are written.
var now = time.Date(2026, 5, 6, 7, 8, 9, 123456789, time.UTC)

// shapes is blocks of small, and then of all, shapes of events, with answers of all kinds.
var shapes = sync.OnceValue(func() []*event.Block {
	all := outputtest.Shapes()
	all = append(all, answered()...)
	var small []*event.Event
	for _, e := range all {
		if len(e.Message)+len(e.Identity) < 2000 {
			small = append(small, e)
		}
	}
	return []*event.Block{blockOf(small...), blockOf(all...)}
})

func blockOf(list ...*event.Event) *event.Block {
	b := event.NewBlock(0)
	for _, e := range list {
		b.Append(e)
	}
	b.Seal(event.ID{1}, now)
	return b
}

// answered is responses with answers, subnets and extended errors.
func answered() (list []*event.Event) {
	m := new(mdns.Msg)
	m.SetQuestion("www.example.org.", mdns.TypeA)
	m.Response, m.Compress = true, true
	for _, text := range []string{
		"www.example.org. 300 IN CNAME web.example.org.", "web.example.org. 60 IN A 192.0.2.7", "web.example.org. 60 IN AAAA 2001:db8::7",
		`example.org. 5 IN TXT "a \"quoted\" text" "\255\000"`, `\009odd\"\\.example.org. 0 IN MX 10 mail.example.org.`, "example.org. 4294967295 IN TYPE65280 \\# 3 abcdef",
	} {
		rr, err := mdns.NewRR(text)
		if err != nil {
			panic(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	m.SetEdns0(1232, true)
	opt := m.IsEdns0()
	opt.Option = []mdns.EDNS0{&mdns.EDNS0_SUBNET{Code: mdns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: []byte{192, 0, 2, 0}},
		&mdns.EDNS0_EDE{InfoCode: 22}, &mdns.EDNS0_EDE{InfoCode: 3, ExtraText: "stale"}}
	opt.SetExtendedRcode(mdns.RcodeBadVers)
	wire, err := m.Pack()
	if err != nil {
		panic(err)
	}
	for i := range 3 {
		e := &event.Event{Time: now.UnixNano() + int64(i), Proto: event.UDP, Message: wire, Src: netip.MustParseAddrPort("192.0.2.53:53"), Dst: netip.MustParseAddrPort("192.0.2.1:40000")}
		dns.Read(wire, false, &e.DNS)
		list = append(list, e)
	}
	return list
}

// rowsOf is the rows of a block, read one by one.
func rowsOf(b *event.Block, o Options) (list []row) {
	var e event.Event
	json := format.Encoder(nil)
	if o.FullQuery {
		f, err := format.New("json", o.Records)
		if err != nil {
			panic(err)
		}
		json = f.NewEncoder()
	}
	for r := b.Reader(); r.Next(&e); {
		ev := e
		first := true
		var question event.Row
		for rows := ev.Rows(); rows.Next(&question); first = false {
			v := row{Row: columns.Row{Event: &ev, Question: question, Sensor: []byte(o.Server), Now: now.UnixNano(), InterfaceName: o.Records.InterfaceName, AppendData: format.AppendRecordData}}
			if o.UseIdentity && len(ev.Identity) > 0 {
				v.Sensor = ev.Identity
			}
			if first {
				v.ReadAnswers(nil)
				if v.first = json != nil; v.first {
					v.Record = bytes.TrimSuffix(json.Append(nil, &ev), []byte("\n"))
				}
			}
			list = append(list, v)
		}
	}
	return list
}

// tableOf is a table with a column PacketTime and, of a field, with the type.
func tableOf(t testing.TB, name, typ string) *Def {
	t.Helper()
	d := &Def{Database: "dns", Table: "DNS_LOG", Zone: "UTC", Columns: []ColumnDef{{"PacketTime", "DateTime64(9)", ""}}}
	if name == "PacketTime" {
		d.Columns[0].Type = typ
	} else {
		d.Columns = append(d.Columns, ColumnDef{name, typ, ""})
	}
	return d
}

func planOf(t testing.TB, d *Def, o Options) *Plan {
	t.Helper()
	p, err := d.Plan(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// joined is the bytes of a column as they are sent.
func joined(c *server.Column) []byte {
	return append(bytes.Join(c.State, nil), bytes.Join(c.Data, nil)...)
}

// dnsmonsterTable is dnsmonster's table.
func dnsmonsterTable() *Def {
	d := &Def{Database: "default", Table: "DNS_LOG", Zone: "UTC", Engine: "MergeTree", PartitionKey: "toYYYYMMDD(PacketTime)"}
	for f := range strings.SplitSeq("PacketTime DateTime64(3),IndexTime DateTime64(3),Server LowCardinality(String),IPVersion UInt8,SrcIP IPv6,DstIP IPv6,Protocol FixedString(3),QR UInt8,"+
		"OpCode UInt8,Class UInt16,Type UInt16,Edns0Present UInt8,DoBit UInt8,FullQuery String,ResponseCode UInt8,Question String,Size UInt16", ",") {
		name, typ, _ := strings.Cut(f, " ")
		d.Columns = append(d.Columns, ColumnDef{name, typ, ""})
	}
	return d
}

// ownTable is a table with all our columns.
func ownTable() *Def {
	d := &Def{Database: "default", Table: "DNS_LOG", Zone: "UTC", Engine: "MergeTree", PartitionKey: "toYYYYMM(PacketTime)"}
	for _, f := range fields {
		d.Columns = append(d.Columns, ColumnDef{f.Name, f.typ, ""})
	}
	return d
}

// typeOf is the type that holds all values of a column of ours.
func typeOf(name string) string {
	for _, f := range fields {
		if f.Name == name {
			return f.typ
		}
	}
	return ""
}
