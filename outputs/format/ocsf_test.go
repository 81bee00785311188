package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// The part of OCSF 1.5.0 that concerns DNS Activity events
// (https://schema.ocsf.io/1.5.0/classes/dns_activity), so that the test needs no
// network. As for the schema's own validator, other attributes are errors.

// ocsfType returns what is wrong with a value, or "".
type ocsfType func(value any) string

type ocsfObject struct {
	required, optional map[string]ocsfType
	oneOf              []string // at least one of these is required
}

func ocsfText(v any) string {
	if s, ok := v.(string); !ok || s == "" {
		return "no text"
	}
	return ""
}

func ocsfInt(least, most int64) ocsfType {
	return func(v any) string {
		n, ok := v.(json.Number)
		i, err := n.Int64()
		if !ok || err != nil || i < least || i > most {
			return fmt.Sprintf("no integer from %d to %d", least, most)
		}
		return ""
	}
}

func ocsfEnum(values ...int64) ocsfType {
	return func(v any) string {
		n, _ := v.(json.Number)
		if i, err := n.Int64(); err != nil || !slices.Contains(values, i) {
			return fmt.Sprintf("not one of %v", values)
		}
		return ""
	}
}

func ocsfIP(v any) string {
	s, _ := v.(string)
	if _, err := netip.ParseAddr(s); err != nil {
		return "no IP address"
	}
	return ""
}

// ocsfMillis is a timestamp_t: milliseconds, in this century. Seconds and nanoseconds
// are outside of that range.
func ocsfMillis(v any) string { return ocsfInt(946684800_000, 4102444800_000)(v) }

func ocsfList(of ocsfType) ocsfType {
	return func(v any) string {
		list, ok := v.([]any)
		if !ok || len(list) == 0 {
			return "no list"
		}
		for i, e := range list {
			if why := of(e); why != "" {
				return fmt.Sprintf("[%d]: %s", i, why)
			}
		}
		return ""
	}
}

func (o ocsfObject) check(v any) string {
	m, ok := v.(map[string]any)
	if !ok {
		return "no object"
	}
	for name := range o.required {
		if _, ok := m[name]; !ok {
			return name + " is missing"
		}
	}
	for name, value := range m {
		check, known := o.required[name]
		if !known {
			check, known = o.optional[name]
		}
		if !known {
			return name + " is not in the schema"
		}
		if why := check(value); why != "" {
			return fmt.Sprintf("%s: %s: %v", name, why, value)
		}
	}
	if len(o.oneOf) > 0 && !slices.ContainsFunc(o.oneOf, func(name string) bool { _, ok := m[name]; return ok }) {
		return fmt.Sprintf("none of %v", o.oneOf)
	}
	return ""
}

type ocsfAttributes = map[string]ocsfType

var (
	ocsfRcodes = ocsfEnum(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 99)

	ocsfProduct = ocsfObject{
		required: ocsfAttributes{"vendor_name": ocsfText},
		optional: ocsfAttributes{"name": ocsfText, "version": ocsfText, "uid": ocsfText},
		oneOf:    []string{"name", "uid"},
	}
	ocsfMeta = ocsfObject{
		required: ocsfAttributes{"product": ocsfProduct.check, "version": ocsfText},
		optional: ocsfAttributes{"log_name": ocsfText, "log_provider": ocsfText},
	}
	ocsfEndpoint = ocsfObject{
		optional: ocsfAttributes{"ip": ocsfIP, "port": ocsfInt(0, 65535), "hostname": ocsfText},
		oneOf:    []string{"ip", "hostname"},
	}
	ocsfLink = ocsfObject{
		required: ocsfAttributes{"direction_id": ocsfEnum(0, 1, 2, 3, 4, 99)},
		optional: ocsfAttributes{
			"direction": ocsfText, "protocol_name": ocsfText, "protocol_num": ocsfInt(0, 255), "protocol_ver_id": ocsfEnum(0, 4, 6, 99),
		},
	}
	ocsfQuestion = ocsfObject{
		required: ocsfAttributes{"hostname": ocsfText},
		optional: ocsfAttributes{
			"type": ocsfText, "class": ocsfText, "opcode_id": ocsfEnum(0, 1, 2, 3, 4, 5, 6, 99), "opcode": ocsfText,
			"packet_uid": ocsfInt(0, 65535),
		},
	}
	ocsfAnswer = ocsfObject{
		required: ocsfAttributes{"rdata": ocsfText},
		optional: ocsfAttributes{
			"type": ocsfText, "class": ocsfText, "ttl": ocsfInt(0, math.MaxUint32), "flag_ids": ocsfList(ocsfEnum(0, 1, 2, 3, 4, 5, 6, 99)),
			"packet_uid": ocsfInt(0, 65535),
		},
	}
	ocsfEvent = ocsfObject{
		required: ocsfAttributes{
			"activity_id": ocsfEnum(1, 2), "category_uid": ocsfEnum(4), "class_uid": ocsfEnum(4003), "metadata": ocsfMeta.check,
			"severity_id": ocsfEnum(0, 1, 2, 3, 4, 5, 6, 99), "time": ocsfMillis, "type_uid": ocsfEnum(400301, 400302),
		},
		optional: ocsfAttributes{
			"src_endpoint": ocsfEndpoint.check, "dst_endpoint": ocsfEndpoint.check,
			"activity_name": ocsfText, "category_name": ocsfText, "class_name": ocsfText, "severity": ocsfText, "type_name": ocsfText,
			"query_time": ocsfMillis, "response_time": ocsfMillis, "connection_info": ocsfLink.check, "query": ocsfQuestion.check,
			"answers": ocsfList(ocsfAnswer.check), "rcode_id": ocsfRcodes, "rcode": ocsfText,
			"unmapped": func(v any) string {
				if _, ok := v.(map[string]any); !ok {
					return "no object"
				}
				return ""
			},
		},
		oneOf: []string{"src_endpoint", "dst_endpoint"},
	}
)

// checkOCSF returns what is wrong with a record, or "".
func checkOCSF(text []byte) string {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		return err.Error()
	}
	if why := ocsfEvent.check(v); why != "" {
		return why
	}
	number := func(name string) int64 { n, _ := v[name].(json.Number).Int64(); return n }
	if number("type_uid") != number("class_uid")*100+number("activity_id") {
		return "type_uid is not made of class_uid and activity_id"
	}
	_, asked := v["query_time"]
	_, answered := v["response_time"]
	_, hasRcode := v["rcode_id"]
	if response := number("activity_id") == 2; response != answered || !response && !asked || response != hasRcode {
		return "query and response are mixed up"
	}
	return ""
}

// ocsfLine is the record of a message, at a time that has milliseconds.
func ocsfLine(enc Encoder, msg []byte, cut uint32) []byte {
	e := eventOf(msg, cut)
	e.Time = 1700000000_123456789
	e.Identity, e.Version, e.Direction = []byte("ns1"), []byte(`a "name"`), packet.Direction(len(msg)%3)
	e.Interface, e.HasVLAN, e.VLAN, e.Tunnel = 3, true, 0xf007, packet.TunnelGRE
	if len(msg)%2 == 0 {
		e.Src, e.Dst, e.Proto = netip.MustParseAddrPort("[2001:db8::1]:0"), netip.MustParseAddrPort("[2001:db8::53]:53"), event.TCP
	}
	return enc.Append(nil, e)
}

// ocsfChecker checks the records of messages, all of one encoder, and counts them.
func ocsfChecker(t *testing.T, n *int) func(msg []byte, cut uint32) {
	enc := newOCSF(Options{Server: "s1", Fields: 0xff, InterfaceName: func(uint32, int64) string { return "eth0" }})
	return func(msg []byte, cut uint32) {
		t.Helper()
		if len(msg) < dns.HeaderLen {
			return
		}
		*n++
		line := ocsfLine(enc, msg, cut)
		if why := checkOCSF(line); why != "" {
			t.Fatalf("%s\nin %s", why, line)
		}
	}
}

// TestOCSFSchema: every record is valid: with any data of every type, every response
// code and opcode, and of damaged messages.
func TestOCSFSchema(t *testing.T) {
	n := 0
	check := ocsfChecker(t, &n)
	r := rand.New(rand.NewPCG(15, 16))
	for rrtype := range mdns.TypeToRR {
		check(message(rrtype, nil), 0)
		for range 50 {
			check(message(rrtype, randomData(r)), 0)
		}
	}
	for rcode := range 4096 {
		m := query("www.example.org.")
		m.Response, m.Rcode = true, rcode
		m.SetEdns0(1232, true)
		m.Opcode = rcode % 16
		check(pack(t, m), 0)
	}
	for _, seed := range damageSeeds(t) {
		for range 300 {
			check(damage(r, seed), uint32(r.IntN(2)))
		}
	}
	check(pack(t, query(".")), 0)
	check(pack(t, query(`a\"b\010\255c\ d.example.org.`)), 0)
	if n < 8000 {
		t.Errorf("only %d messages", n)
	}
}

// TestOCSFWithoutAddresses: an endpoint without an address is left out. Without any
// address the record lacks the one endpoint that the schema requires, and nothing
// else.
func TestOCSFWithoutAddresses(t *testing.T) {
	some := netip.MustParseAddrPort("192.0.2.1:5353")
	f := func(response bool, src, dst netip.AddrPort, want, wrong string) {
		t.Helper()
		m := query("www.example.org.")
		m.Response = response
		e := eventOf(pack(t, m), 0)
		e.Src, e.Dst = src, dst
		line := newOCSF(Options{}).Append(nil, e)
		if why := checkOCSF(line); why != wrong {
			t.Errorf("%q, want %q\nin %s", why, wrong, line)
		}
		var got struct {
			Src  map[string]any `json:"src_endpoint"`
			Dst  map[string]any `json:"dst_endpoint"`
			Conn struct {
				Version int `json:"protocol_ver_id"`
			} `json:"connection_info"`
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatal(err)
		}
		if s := fmt.Sprint(got.Src != nil, got.Dst != nil, got.Conn.Version); s != want {
			t.Errorf("source, destination, version: %s, want %s\nin %s", s, want, line)
		}
	}
	none := netip.AddrPort{}
	f(false, some, some, "true true 4", "")
	f(false, some, none, "true false 4", "")
	f(true, some, none, "false true 4", "")
	f(false, none, some, "false true 4", "")
	f(false, none, none, "false false 0", "none of [src_endpoint dst_endpoint]")
	f(true, none, netip.AddrPortFrom(netip.Addr{}, 53), "false false 0", "none of [src_endpoint dst_endpoint]")
}

func TestOCSFSchemaCaptures(t *testing.T) {
	n := 0
	check := ocsfChecker(t, &n)
	for payload := range capturedMessages(t) {
		check(payload, 0)
	}
	if n == 0 {
		t.Error("no messages")
	}
}

// TestOCSFCheckerFinds: the checker rejects a valid record after any single change.
func TestOCSFCheckerFinds(t *testing.T) {
	m := query("www.example.org.")
	m.Response = true
	m.Answer = []mdns.RR{&mdns.A{Hdr: mdns.RR_Header{Name: "www.example.org.", Rrtype: 1, Class: 1, Ttl: 60}, A: []byte{192, 0, 2, 80}}}
	good := string(ocsfLine(newOCSF(Options{}), pack(t, m), 0))
	if why := checkOCSF([]byte(good)); why != "" {
		t.Fatalf("%s\nin %s", why, good)
	}
	f := func(from, to, want string) {
		t.Helper()
		bad := strings.Replace(good, from, to, 1)
		if bad == good {
			t.Errorf("%s is not in %s", from, good)
		}
		if why := checkOCSF([]byte(bad)); !strings.Contains(why, want) {
			t.Errorf("%s for %s: %q, want %q", to, from, why, want)
		}
	}
	f(`"type_uid":400302`, `"type_uid":400301`, "type_uid is not made of")
	f(`"type_uid":400302`, `"type_uid":4003`, "not one of")
	f(`"activity_id":2`, `"activity_id":"2"`, "not one of")
	f(`"time":1700000000123`, `"time":1700000000`, "time: no integer")
	f(`"time":1700000000123`, `"time":1700000000123.5`, "time: no integer")
	f(`"response_time":`, `"query_time":`, "mixed up")
	f(`"response_time":`, `"response_time":1700000000123,"query_time":`, "")
	f(`"severity_id":1,`, ``, "severity_id is missing")
	f(`"version":"1.5.0",`, ``, "version is missing")
	f(`"vendor_name":`, `"vendor":`, "vendor_name is missing")
	f(`"rdata":"192.0.2.80"`, `"rdata":""`, "rdata: no text")
	f(`"rcode_id":0`, `"rcode_id":12`, "rcode_id: not one of")
	f(`"ip":"`, `"ip":"x`, "no IP address")
	f(`"query":{`, `"question":{`, "question is not in the schema")
	f(`"ttl":60`, `"ttl":-1`, "ttl: no integer")
}

// TestDefect35OCSF: type_uid was wrong, the activity always Query, and times were
// seconds instead of milliseconds.
func TestDefect35OCSF(t *testing.T) {
	f := func(response bool, ns int64, want ...string) {
		t.Helper()
		m := query("www.example.org.")
		m.Response = response
		e := eventOf(pack(t, m), 0)
		e.Time = ns
		if response {
			e.Src, e.Dst = e.Dst, e.Src
		}
		got := string(newOCSF(Options{Server: "s1"}).Append(nil, e))
		for _, w := range append(want, `"class_uid":4003,`, `"category_uid":4,`, `"src_endpoint":{"ip":"192.0.2.1","port":5353}`,
			`"dst_endpoint":{"ip":"192.0.2.53","port":53}`, `"query":{"hostname":"www.example.org",`) {
			if !strings.Contains(got, w) {
				t.Errorf("no %s in %s", w, got)
			}
		}
	}
	f(false, 1700000000_123456789, `"activity_id":1,`, `"type_uid":400301,`, `"time":1700000000123,"query_time":1700000000123,`)
	f(true, 1700000000_999999999, `"activity_id":2,`, `"type_uid":400302,`, `"time":1700000000999,"response_time":1700000000999,`, `"rcode_id":0,"rcode":"NoError"`)
}

// TestOCSFTimes: a response with the time of its query has both times and is valid.
func TestOCSFTimes(t *testing.T) {
	m := query("www.example.org.")
	m.Response = true
	e := eventOf(pack(t, m), 0)
	e.Time, e.QueryTime, e.ResponseTime = 1700000000_500000000, 1700000000_123456789, 1700000000_500000000
	got := written(t, "json-ocsf", Options{}, e)
	if want := `"time":1700000000500,"response_time":1700000000500,"query_time":1700000000123,`; !strings.Contains(got, want) || checkOCSF([]byte(got)) != "" {
		t.Errorf("no %s, or %q, in %s", want, checkOCSF([]byte(got)), got)
	}
	if e.QueryTime = 0; strings.Contains(written(t, "json-ocsf", Options{}, e), "query_time") {
		t.Error("a query time that is unknown is in the record")
	}
}
