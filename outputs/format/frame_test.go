package format

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"dnsmonster-sensor/userspace/dnstap"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// TestFrameFields: what --jsonfields=dnstap adds to the formats that have additional fields.
func TestFrameFields(t *testing.T) {
	fields, err := ParseFields("dnstap")
	if err != nil || !fields.NeedsFrames() {
		t.Fatal(fields, err)
	}
	if usual, err := ParseFields("interface,direction,vlan,tunnel,samplerate"); err != nil || usual.NeedsFrames() {
		t.Errorf("fields of packets need frames: %v, %v", usual, err)
	}
	f := func(what string, frame dnstap.Frame, nested, flat, text string) {
		t.Helper()
		e := queryOver(t, event.UDP, "192.0.2.1:5353", "192.0.2.53:53")
		frame.Query = e.Message
		e.Fields = framed(frame)
		o := Options{Fields: fields}
		for name, want := range map[string]string{
			"json": `,"PacketLength":33` + nested + "}\n", "json-flat": `"edns":false` + flat + "}\n", "json-ocsf": `"unmapped":{"length":33` + flat + "}}\n", "text": text + "\n",
		} {
			got := written(t, name, o, e)
			if !strings.HasSuffix(got, want) {
				t.Errorf("%s, %s: %q does not end in %q", what, name, got, want)
			}
			if v := map[string]any{}; name != "text" && json.Unmarshal([]byte(got), &v) != nil {
				t.Errorf("%s, %s: %s is no JSON", what, name, got)
			}
			if got := written(t, name, Options{}, e); strings.Contains(strings.ToLower(got), "dnstap") || strings.Contains(got, "CLIENT") {
				t.Errorf("%s, %s: not requested, but in %s", what, name, got)
			}
		}
	}
	f("type", dnstap.Frame{Type: dnstap.ClientQuery}, `,"Dnstap":{"Type":"CLIENT_QUERY"}`, `,"dnstap_type":"CLIENT_QUERY"`, " [CLIENT_QUERY]")
	f("unknown type", dnstap.Frame{Type: 99, Zone: []byte{0}, HTTP: 9}, `,"Dnstap":{"Type":"99","Zone":".","HTTP":"9"}`,
		`,"dnstap_type":"99","dnstap_zone":".","dnstap_http":"9"`, " [99; zone .]")
	f("odd bytes", dnstap.Frame{Type: dnstap.AuthQuery, Zone: []byte("\x01\x00\x01\"\x00"), Extra: []byte("a\"\x1b\xff")},
		`,"Dnstap":{"Type":"AUTH_QUERY","Zone":"\\000.\\\".","Extra":"\\# 4 61221bff"}`,
		`,"dnstap_type":"AUTH_QUERY","dnstap_zone":"\\000.\\\".","dnstap_extra":"\\# 4 61221bff"`, ` [AUTH_QUERY; zone \000.\".]`)
	f("no names", dnstap.Frame{Type: dnstap.AuthQuery, Zone: []byte("\xc0\x00"), Policy: (&dnstap.Policy{Rule: []byte("a.b\x1b")}).Append(nil)},
		`,"Dnstap":{"Type":"AUTH_QUERY","Zone":"\\# 2 c000","Policy":{"Rule":"a.b\u001b"}}`,
		`,"dnstap_type":"AUTH_QUERY","dnstap_zone":"\\# 2 c000","policy_rule":"a.b\u001b"`, ` [AUTH_QUERY; zone \192\000; policy a.b\027]`)
	policy := func(p dnstap.Policy, nested, flat, text string) {
		t.Helper()
		f(nested, dnstap.Frame{Type: dnstap.ClientQuery, Policy: p.Append(nil)}, `,"Dnstap":{"Type":"CLIENT_QUERY"`+nested+`}`, `,"dnstap_type":"CLIENT_QUERY"`+flat, text)
	}
	rule := []byte("\x0232\x011\x012\x010\x03192\x0drpz-client-ip\x03rpz\x00")
	policy(dnstap.Policy{}, "", "", " [CLIENT_QUERY]")
	policy(dnstap.Policy{Type: []byte("RPZ"), Rule: rule, Action: 4, Match: dnstap.MatchClientIP, Value: []byte{192, 0, 2, 1}},
		`,"Policy":{"Type":"RPZ","Rule":"32.1.2.0.192.rpz-client-ip.rpz.","Action":"DROP","Match":"CLIENT_IP","Value":"192.0.2.1"}`,
		`,"policy_type":"RPZ","policy_rule":"32.1.2.0.192.rpz-client-ip.rpz.","policy_action":"DROP","policy_match":"CLIENT_IP","policy_value":"192.0.2.1"`,
		" [CLIENT_QUERY; policy DROP 32.1.2.0.192.rpz-client-ip.rpz.]")
	policy(dnstap.Policy{Match: dnstap.MatchNSIP, Value: []byte("\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x53")},
		`,"Policy":{"Match":"NS_IP","Value":"2001:db8::53"}`, `,"policy_match":"NS_IP","policy_value":"2001:db8::53"`, " [CLIENT_QUERY]")
	policy(dnstap.Policy{Match: dnstap.MatchResponseIP, Value: []byte("192.0.2.1")}, `,"Policy":{"Match":"RESPONSE_IP","Value":"192.0.2.1"}`,
		`,"policy_match":"RESPONSE_IP","policy_value":"192.0.2.1"`, " [CLIENT_QUERY]")
	policy(dnstap.Policy{Action: 77, Match: 78, Value: []byte{1, 0x80}}, `,"Policy":{"Action":"77","Match":"78","Value":"\\# 2 0180"}`,
		`,"policy_action":"77","policy_match":"78","policy_value":"\\# 2 0180"`, " [CLIENT_QUERY; policy 77]")
	policy(dnstap.Policy{Value: []byte{}}, `,"Policy":{"Value":""}`, `,"policy_value":""`, " [CLIENT_QUERY]")

	broken := queryOver(t, event.UDP, "192.0.2.1:5353", "192.0.2.53:53")
	broken.Fields = event.AppendField(nil, event.FrameHead, []byte{0xff})
	for _, fields := range []event.Fields{nil, broken.Fields, broken.Fields[:5]} {
		broken.Fields = fields
		if got := written(t, "json", Options{Fields: fieldDnstap}, broken); !strings.HasSuffix(got, `"PacketLength":33}`+"\n") {
			t.Errorf("with the fields %x: %s", fields, got)
		}
	}
}

// TestFrameFieldsAllocateNothing: names of types and policies are not built anew.
func TestFrameFieldsAllocateNothing(t *testing.T) {
	e := newPageEvents(t).odd
	for _, name := range []string{"json", "json-flat", "json-ocsf", "text"} {
		f, err := New(name, Options{Fields: fieldDnstap})
		if err != nil {
			t.Fatal(err)
		}
		enc, dst := f.NewEncoder(), make([]byte, 0, 4096)
		if n := testing.AllocsPerRun(200, func() { dst = enc.Append(dst[:0], e) }); n != 0 {
			t.Errorf("%s allocates %v times, want 0", name, n)
		}
	}
}

// TestCarrierNotNamed: a carrier that dnstap does not give, or gives as a number for which
// there is no word.
func TestCarrierNotNamed(t *testing.T) {
	f := func(p event.Proto, want map[string]string) {
		t.Helper()
		e := queryOver(t, p, "", "")
		var back event.Event
		b := event.NewBlock(1 << 10)
		b.Append(e)
		if r := b.Reader(); !r.Next(&back) || back.Proto != p {
			t.Fatalf("%d is %d after the block", p, back.Proto)
		}
		for name, want := range want {
			o := Options{}
			if name == "gotemplate" {
				o.Template = "[{{.Protocol}}]"
			}
			if got := written(t, name, o, &back); strings.Count(got, want) != 1 {
				t.Errorf("%s of %d: no %q in %q", name, p, want, got)
			}
		}
	}
	f(0, map[string]string{
		"json": `,"IPVersion":0,"SrcIP":"","DstIP":"","Protocol":"","PacketLength":`, "json-flat": `Z","ip_version":0,`,
		"json-ocsf": `"direction":"Unknown","protocol_ver_id":0},`, "csv": ",,0,,,0,0,", "gotemplate": "[]\n", "text": " - > - 7 ",
	})
	for _, number := range []uint32{8, 99, 126, 127, 1 << 31} {
		word := fmt.Sprint(number)
		if number > 126 {
			word = "unknown"
		}
		f(packet.NumberedProto(number), map[string]string{
			"json": `,"DstIP":"","Protocol":"` + word + `","PacketLength":`, "json-flat": `"protocol":"` + word + `","ip_version":0,`,
			"json-ocsf": `"protocol_name":"unknown","protocol_num":0,"protocol_ver_id":0},`, "csv": ",,0,,,0,0,", "gotemplate": "[" + word + "]\n", "text": " - > - " + word + " 7 ",
		})
		f(packet.NumberedProto(number), map[string]string{"json-ocsf": `"unmapped":{"length":33,"protocol":"` + word + `"}`})
	}
}
