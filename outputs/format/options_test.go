package format

import (
	"strings"
	"testing"

	"dnsmonster-sensor/outputs/columns"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// TestMoreFields: each format writes the additional fields that were requested.
func TestMoreFields(t *testing.T) {
	names := func(number uint32, _ int64) string { return map[uint32]string{1: "eth0", 2: "a\"\x01b"}[number] }
	f := func(fields string, e event.Event, json, flat string) {
		t.Helper()
		set, err := ParseFields(fields)
		if err != nil {
			t.Fatal(err)
		}
		e.Message, e.Proto = pack(t, query("www.example.org.")), event.UDP
		o := Options{Fields: set, InterfaceName: names}
		for name, want := range map[string]string{"json": `"PacketLength":0` + json + "}\n", "json-flat": flat + "}\n", "json-ocsf": flat + "}}\n"} {
			if got := written(t, name, o, &e); !strings.HasSuffix(strings.Replace(got, `"PacketLength":33`, `"PacketLength":0`, 1), want) {
				t.Errorf("%s with %q: %s, want %s at the end", name, fields, got, want)
			}
		}
	}
	e := event.Event{Interface: 1, Direction: packet.DirectionIn, HasVLAN: true, VLAN: 0x3007, Tunnel: packet.TunnelVXLAN, Sample: packet.Ratio{Keep: 3, Of: 20}}
	f("", e, "", "")
	f("samplerate, Interface,,vlan,direction,tunnel", e, `,"Interface":"eth0","Direction":"in","VLAN":7,"Tunnel":"vxlan","SampleRate":6.666666`,
		`,"interface":"eth0","direction":"in","vlan":7,"tunnel":"vxlan","sample_rate":6.666666`)
	f("vlan", e, `,"VLAN":7`, `,"vlan":7`)
	f("interface", event.Event{Interface: 2}, `,"Interface":"a\"\u0001b"`, `,"interface":"a\"\u0001b"`)
	f("interface,direction,vlan,tunnel,samplerate", event.Event{VLAN: 7, Sample: packet.Ratio{Keep: 5, Of: 5}}, "", "")
	f("vlan,samplerate", event.Event{HasVLAN: true, Sample: packet.Ratio{Keep: 1, Of: 10}}, `,"VLAN":0,"SampleRate":10`, `,"vlan":0,"sample_rate":10`)
	if _, err := ParseFields("vlan,port"); err == nil || !strings.Contains(err.Error(), `unknown field "port": use one of interface, direction, vlan, tunnel, samplerate, dnstap`) {
		t.Errorf("error %v, want a list of the fields", err)
	}
}

// TestMoreFieldsAreWritten: fieldWriter.append knows the kind of each field, and all
// fields fit into a Fields.
func TestMoreFieldsAreWritten(t *testing.T) {
	for _, f := range moreFields {
		if f.word == "dnstap" {
			continue // see frame
		}
		switch c := f.id.Column(); c.Kind {
		case columns.Uint, columns.Text:
		default:
			if f.id != columns.SampleRate {
				t.Errorf("%s is %s, which append does not write", f.word, c.Kind)
			}
		}
	}
	if fieldDnstap != 1<<(len(moreFields)-1) {
		t.Error("text does not write all additional fields: see textnotes.go")
	}
	if len(moreFields) > 32 {
		t.Errorf("%d fields do not fit into a Fields", len(moreFields))
	}
}
