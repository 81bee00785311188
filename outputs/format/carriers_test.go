package format

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// queryOver is a query from a source of whole messages.
func queryOver(t *testing.T, p event.Proto, src, dst string) *event.Event {
	e := eventOf(pack(t, query("www.example.org.")), 0)
	e.Proto, e.Src, e.Dst = p, addrPort(src), addrPort(dst)
	return e
}

// addrPort parses an address and a port, of which either may be missing.
func addrPort(text string) netip.AddrPort {
	if port, alone := strings.CutPrefix(text, ":"); alone {
		a := netip.MustParseAddrPort("192.0.2.1:" + port)
		return netip.AddrPortFrom(netip.Addr{}, a.Port())
	}
	if text == "" {
		return netip.AddrPort{}
	}
	return netip.MustParseAddrPort(text)
}

func written(t *testing.T, name string, o Options, e *event.Event) string {
	t.Helper()
	f, err := New(name, o)
	if err != nil {
		t.Fatal(err)
	}
	return string(f.NewEncoder().Append(nil, e))
}

// TestCarriers: each format has a word or a number for each carrier.
func TestCarriers(t *testing.T) {
	words := map[event.Proto][3]string{ // in records, the transport, and its number
		event.UDP: {"udp", "udp", "17"}, event.TCP: {"tcp", "tcp", "6"},
		event.DoT: {"dot", "tcp", "6"}, event.DoH: {"doh", "tcp", "6"}, event.DoQ: {"doq", "udp", "17"},
		event.DNSCryptUDP: {"dnscryptudp", "udp", "17"}, event.DNSCryptTCP: {"dnscrypttcp", "tcp", "6"},
	}
	if len(words) != packet.Protos {
		t.Errorf("%d carriers are tested, there are %d", len(words), packet.Protos)
	}
	for p, w := range words {
		e := queryOver(t, p, "192.0.2.1:5353", "192.0.2.53:853")
		f := func(name string, o Options, want string) {
			t.Helper()
			if got := written(t, name, o, e); strings.Count(got, want) != 1 {
				t.Errorf("%s of %s: no %s in %s", name, p, want, got)
			}
		}
		f("json", Options{}, `"DstPort":853,"Protocol":"`+w[0]+`","PacketLength":`)
		f("json-flat", Options{}, `,"protocol":"`+w[0]+`","ip_version":4,`)
		f("json-ocsf", Options{}, `"protocol_name":"`+w[1]+`","protocol_num":`+w[2]+`,"protocol_ver_id":4}`)
		f("csv", Options{}, ",3221225985,3221226037,"+w[2]+",0,")
		f("csv_no_header", Options{}, ",3221225985,3221226037,"+w[2]+",0,")
		f("gotemplate", Options{Template: "[{{.Protocol}}]"}, "["+w[0]+"]\n")
		unmapped := `"unmapped":{"length":33,"protocol":"` + w[0] + `"}`
		if w[0] == w[1] {
			unmapped = `"unmapped":{"length":33}`
		}
		f("json-ocsf", Options{}, unmapped)
	}
}

// TestAbsentAddresses: no format shows an absent address as an address. Each case has
// both ends and a part of each format's record.
func TestAbsentAddresses(t *testing.T) {
	formats := map[string]Options{
		"json": {}, "json-flat": {}, "json-ocsf": {}, "csv": {}, "csv text": {CSVIP: IPText}, "csv uint128": {CSVIP: IPUint128},
		"gotemplate": {Template: "{{.IPVersion}} {{.SrcIP}} {{.SrcPort}} {{.DstIP}} {{.DstPort}} {{if .SrcIP}}src{{end}} {{len .DstIP}}"},
	}
	f := func(src, dst string, want map[string]string) {
		t.Helper()
		e := queryOver(t, event.DoT, src, dst)
		for _, name := range slices.Sorted(maps.Keys(formats)) {
			kind, _, _ := strings.Cut(name, " ")
			got := written(t, kind, formats[name], e)
			if want[name] == "" || strings.Count(got, want[name]) != 1 {
				t.Errorf("%s of %q to %q: no %s in %s", name, src, dst, want[name], got)
			}
			for _, odd := range []string{"::", "0.0.0.0", "invalid"} {
				if strings.Contains(got, odd) {
					t.Errorf("%s of %q to %q: %s in %s", name, src, dst, odd, got)
				}
			}
			if v := map[string]any{}; strings.HasPrefix(name, "json") && json.Unmarshal([]byte(got), &v) != nil {
				t.Errorf("%s of %q to %q is no JSON: %s", name, src, dst, got)
			}
			if kind == "csv" && strings.Count(got, ",") != 21 {
				t.Errorf("%s of %q to %q does not have 22 fields: %s", name, src, dst, got)
			}
		}
	}
	f("", "", map[string]string{
		"json":      `,"IPVersion":0,"SrcIP":"","DstIP":"","Protocol":"dot",`,
		"json-flat": `,"protocol":"dot","ip_version":0,"length":33,`,
		"json-ocsf": `,"protocol_ver_id":0},"query":{`, "gotemplate": "0 <nil> 0 <nil> 0  0\n",
		"csv": ",,0,,,6,0,", "csv text": ",,0,,,6,0,", "csv uint128": ",,0,,,6,0,",
	})
	f("192.0.2.1:5353", "", map[string]string{
		"json":      `,"IPVersion":4,"SrcIP":"192.0.2.1","SrcPort":5353,"DstIP":"","Protocol":"dot",`,
		"json-flat": `,"ip_version":4,"src_ip":"192.0.2.1","src_port":5353,"length":33,`,
		"json-ocsf": `,"protocol_ver_id":4},"src_endpoint":{"ip":"192.0.2.1","port":5353},"query":{`, "gotemplate": "4 192.0.2.1 5353 <nil> 0 src 0\n",
		"csv": ",,4,3221225985,,6,0,", "csv text": ",,4,192.0.2.1,,6,0,", "csv uint128": ",,4,3221225985,,6,0,",
	})
	f(":5353", "[2001:db8:1:2:3:4:5:6]:853", map[string]string{
		"json":      `,"IPVersion":6,"SrcIP":"","SrcPort":5353,"DstIP":"2001:db8:1:2:3:4:5:6","DstPort":853,"Protocol":"dot",`,
		"json-flat": `,"ip_version":6,"src_port":5353,"dst_ip":"2001:db8:1:2:3:4:5:6","dst_port":853,"length":33,`,
		"json-ocsf": `,"protocol_ver_id":6},"dst_endpoint":{"ip":"2001:db8:1:2:3:4:5:6","port":853},"query":{`, "gotemplate": "6 <nil> 5353 2001:db8:1:2:3:4:5:6 853  16\n",
		"csv": ",,6,,2306139568115613698,6,0,", "csv text": ",,6,,2001:db8:1:2:3:4:5:6,6,0,", "csv uint128": ",,6,,42540766411283801819617932170357964806,6,0,",
	})
	f("192.0.2.1:0", "192.0.2.53:0", map[string]string{
		"json":      `,"IPVersion":4,"SrcIP":"192.0.2.1","DstIP":"192.0.2.53","Protocol":"dot",`,
		"json-flat": `,"ip_version":4,"src_ip":"192.0.2.1","dst_ip":"192.0.2.53","length":33,`,
		"json-ocsf": `,"src_endpoint":{"ip":"192.0.2.1"},"dst_endpoint":{"ip":"192.0.2.53"},"query":{`, "gotemplate": "4 192.0.2.1 0 192.0.2.53 0 src 4\n",
		"csv": ",,4,3221225985,3221226037,6,0,", "csv text": ",,4,192.0.2.1,192.0.2.53,6,0,", "csv uint128": ",,4,3221225985,3221226037,6,0,",
	})
	f(":5353", ":853", map[string]string{
		"json":      `,"IPVersion":0,"SrcIP":"","SrcPort":5353,"DstIP":"","DstPort":853,"Protocol":"dot",`,
		"json-flat": `,"ip_version":0,"src_port":5353,"dst_port":853,"length":33,`,
		"json-ocsf": `"unmapped":{"length":33,"protocol":"dot","src_port":5353,"dst_port":853}`, "gotemplate": "0 <nil> 5353 <nil> 853  0\n",
		"csv": ",,0,,,6,0,", "csv text": ",,0,,,6,0,", "csv uint128": ",,0,,,6,0,",
	})
}

// TestAbsentThroughABlock: an absent address is still absent after the event went
// through a block.
func TestAbsentThroughABlock(t *testing.T) {
	for _, ends := range [][2]string{{"", ""}, {"192.0.2.1:5353", ""}, {"", "192.0.2.53:853"}, {":5353", "[2001:db8::53]:853"}, {":5353", ":853"}} {
		e := queryOver(t, event.DNSCryptUDP, ends[0], ends[1])
		e.Identity, e.Version = []byte("ns1"), []byte("1.0")
		b := event.NewBlock(1 << 10)
		b.Append(e)
		var back event.Event
		r := b.Reader()
		if !r.Next(&back) {
			t.Fatal("the block is empty")
		}
		for _, name := range Names() {
			if got, want := written(t, name, Options{}, &back), written(t, name, Options{}, e); got != want {
				t.Errorf("%s of %q: %s, before the block %s", name, ends, got, want)
			}
		}
	}
}
