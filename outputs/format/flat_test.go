package format

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"dnsmonster-sensor/outputs/columns"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// flatAlone are keys of json-flat that no column has.
var flatAlone = []string{"answers", "answer_types", "opcode_name", "rcode_name", "qtype_name", "qclass_name"}

// TestFlatAgreesWithColumns: a key of json-flat is the name of a column, with the same
// value.
func TestFlatAgreesWithColumns(t *testing.T) {
	m := query("www.example.org.")
	m.Response, m.Authoritative, m.Rcode = true, true, mdns.RcodeBadVers
	m.SetEdns0(1232, true)
	m.Answer = []mdns.RR{&mdns.A{Hdr: mdns.RR_Header{Name: "www.example.org.", Rrtype: mdns.TypeA, Class: 1, Ttl: 300}, A: []byte{192, 0, 2, 7}}}
	e := eventOf(append(pack(t, m), 'x'), 0)
	e.Src, e.Dst, e.Proto = addrPort("192.0.2.1:53"), addrPort("[2001:db8::1]:40000"), event.DoQ
	e.Identity, e.Version, e.CaptureCut = []byte("ns1"), []byte("v2"), 9
	e.Direction, e.Tunnel, e.HasVLAN, e.VLAN, e.Sample = packet.DirectionOut, packet.TunnelVXLAN, true, 0x3007, packet.Ratio{Keep: 2, Of: 5}
	names := func(number uint32, _ int64) string { return "eth0" }
	fields, err := ParseFields(strings.Join(FieldNames(), ","))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(written(t, "json-flat", Options{Server: "default", Fields: fields, InterfaceName: names}, e)))
	d.UseNumber()
	record := make(map[string]any)
	if err := d.Decode(&record); err != nil {
		t.Fatal(err)
	}
	r := &columns.Row{Event: e, Sensor: []byte("default"), InterfaceName: names}
	rows := e.Rows()
	rows.Next(&r.Question)
	for id := range columns.ID(columns.Count) {
		c := id.Column()
		value, ok := record[c.Name]
		if !ok {
			continue
		}
		delete(record, c.Name)
		var got string
		switch c.Kind {
		case columns.Time:
			got = string(new(timestamps).append(nil, c.Time(r)))
		case columns.Uint:
			got = strconv.FormatUint(c.Uint(r), 10)
		case columns.Bool:
			got = strconv.FormatBool(c.Uint(r) == 1)
		case columns.Float:
			got = strconv.FormatFloat(c.Float(r), 'f', -1, 64)
		case columns.Addr:
			got = c.Addr(r).String()
		default:
			got = string(c.Append(r, nil))
		}
		if want := fmt.Sprint(value); got != want || !c.HasValue(r) {
			t.Errorf("%s: the column has %q, json-flat %q", c.Name, got, want)
		}
	}
	for _, key := range flatAlone {
		delete(record, key)
	}
	if len(record) > 0 {
		t.Errorf("json-flat has keys that no column has: %v", record)
	}
}
