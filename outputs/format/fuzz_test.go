package format

import (
	"bytes"
	stdcsv "encoding/csv"
	"encoding/json"
	"net/netip"
	"testing"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// FuzzFormats: whatever the messages hold, every format gives what its readers
// can read, of bounded length, and an encoder that has written another message
// before gives the same as a new one.
func FuzzFormats(f *testing.F) {
	for _, seed := range damageSeeds(f) {
		f.Add(pack(f, answers(3)), seed, uint8(0))
		f.Add(seed, pack(f, query("example.org.")), uint8(1))
	}
	f.Add(pack(f, query(`a\,b\"c\010.example.org.`)), make([]byte, 12), uint8(2))
	f.Fuzz(func(t *testing.T, first, msg []byte, what uint8) {
		if len(first) < dns.HeaderLen || len(msg) < dns.HeaderLen || len(first) > 0xffff || len(msg) > 0xffff {
			return
		}
		before, e := eventOf(first, 0), eventOf(msg, uint32(what>>7)*9)
		e.Identity, e.Version = first[:what&15%13], msg[:what>>4%13]
		e.Interface, e.Direction, e.HasVLAN, e.VLAN, e.Tunnel = 3, packet.Direction(what%3), true, 0xf007, packet.Tunnel(what%16)
		if what&1 != 0 {
			e.Src, e.Proto = netip.MustParseAddrPort("[2001:db8::1]:53"), event.TCP
		}
		o := Options{
			Server: string(first[:what&7]), Fields: 0xff, CSVIP: IPForm(what % 3), Template: "{{.Timestamp}} {{.DNS}}",
			InterfaceName: func(uint32, int64) string { return string(msg[:4]) },
		}
		for _, name := range Names() {
			format, err := New(name, o)
			if err != nil {
				t.Fatal(err)
			}
			fresh := format.NewEncoder().Append(nil, e)
			used := format.NewEncoder()
			skip := len(used.Append([]byte("before"), before))
			if got := used.Append(used.Append([]byte("before"), before), e)[skip:]; !bytes.Equal(got, fresh) {
				t.Errorf("%s: %x behind %x gives %q, alone %q", name, msg, first, got, fresh)
			}
			readable(t, name, fresh, e)
		}
	})
}

// readable checks that the format's readers can read what e has become.
func readable(t *testing.T, name string, text []byte, e *event.Event) {
	t.Helper()
	if len(text) == 0 || text[len(text)-1] != '\n' {
		t.Fatalf("%s: no line end: %q", name, text)
	}
	switch name {
	case "csv", "csv_no_header":
		rows, err := stdcsv.NewReader(bytes.NewReader(text)).ReadAll()
		want := 0
		for list := e.Rows(); list.Next(new(event.Row)); want++ {
		}
		if err != nil || len(rows) != want || len(rows[0]) != 22 {
			t.Errorf("%s: %d rows, want %d of 22 fields: %v: %q", name, len(rows), want, err, text)
		}
	case "json", "json-flat", "json-ocsf":
		if bytes.Count(text, []byte("\n")) != 1 || !json.Valid(text) {
			t.Errorf("%s: not one line of valid JSON: %q", name, text)
		}
		if name == "json-flat" {
			flatOnly(t, text)
		}
	}
}

// flatOnly: no value is an object, and no key stands there twice.
func flatOnly(t *testing.T, text []byte) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	seen := map[string]bool{}
	d.Token() // {
	for d.More() {
		key, _ := d.Token()
		if seen[key.(string)] {
			t.Errorf("key %s stands there twice: %q", key, text)
		}
		seen[key.(string)] = true
		var value any
		if err := d.Decode(&value); err != nil {
			t.Fatalf("key %s: %v: %q", key, err, text)
		}
		if _, object := value.(map[string]any); object {
			t.Errorf("key %s holds an object: %q", key, text)
		}
	}
}
