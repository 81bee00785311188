package format

import (
	"strings"
	"testing"

	"dnsmonster-sensor/userspace/packet"
)

// TestEncodersDoNotAllocate: encoders do not allocate once they have seen a message.
func TestEncodersDoNotAllocate(t *testing.T) {
	seeds := damageSeeds(t)
	all, err := ParseFields(strings.Join(FieldNames(), ","))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Names() {
		if name == "gotemplate" { // it decodes messages
			continue
		}
		f, err := New(name, Options{Server: "default", Fields: all, InterfaceName: func(uint32, int64) string { return "eth0" }})
		if err != nil {
			t.Fatal(err)
		}
		enc, dst := f.NewEncoder(), make([]byte, 0, 1<<20)
		for _, msg := range seeds {
			e := eventOf(msg, 0)
			e.Direction, e.Tunnel, e.HasVLAN, e.Sample = packet.DirectionIn, packet.TunnelGRE, true, packet.Ratio{Keep: 2, Of: 3}
			if n := testing.AllocsPerRun(100, func() {
				e.Time += 1e9
				dst = enc.Append(dst[:0], e)
			}); n != 0 {
				t.Errorf("%s allocates %v times for %x", name, n, msg)
			}
		}
	}
}

func TestNew(t *testing.T) {
	f := func(name, problem string) {
		t.Helper()
		if _, err := New(name, Options{}); err == nil && problem != "" || err != nil && (problem == "" || !strings.Contains(err.Error(), problem)) {
			t.Errorf("New(%q): error %v, want %q", name, err, problem)
		}
	}
	f("json", "")
	f("text", "")
	f("json-flat", "")
	f("json-ocsf", "")
	f("csv", "")
	f("csv_no_header", "")
	f("gotemplate", "")
	f("xml", "unknown format")
	f("JSON", "unknown format")
}
