package format

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	mdns "github.com/miekg/dns"

	"dnsmonster-sensor/userspace/dns"
)

// differ holds both encoders over many messages, so that what one message
// leaves behind in them is seen in the next.
type differ struct {
	wire      *wireJSON
	reference JSON
	got, want []byte
	good, bad int
}

func newDiffer() *differ { return &differ{wire: newWireJSON(Options{})} }

// check compares the two encoders' records of msg. It returns true where
// neither finds a fault.
func (d *differ) check(t testing.TB, msg []byte, cut uint32) bool {
	t.Helper()
	if len(msg) < dns.HeaderLen {
		return false
	}
	e := eventOf(msg, cut)
	d.want = d.reference.Append(d.want[:0], e)
	d.got = d.wire.Append(append(d.got[:0], "before"...), e)[len("before"):]
	if !bytes.Equal(d.got, d.want) {
		t.Errorf("%x\n got %swant %s", msg, d.got, d.want)
	}
	good := !bytes.Contains(d.want, []byte(`,"Malformed":{`))
	if good {
		d.good++
	} else {
		d.bad++
	}
	return good
}

// Every type, with empty and random data, and that cut short at each place.
func TestDifferentialTypes(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	d := newDiffer()
	types := slices.Sorted(maps.Keys(mdns.TypeToRR))
	for _, rrtype := range append(types, 0, 10000, 65280, 65535) {
		d.check(t, message(rrtype, nil), 0)
		for range 1500 {
			data := randomData(r)
			d.check(t, message(rrtype, data), 0)
			if n := r.IntN(len(data) + 1); n > 0 {
				d.check(t, message(rrtype, data[:n]), 0)
			}
			if t.Failed() {
				t.Fatalf("type %d", rrtype)
			}
		}
	}
	if d.good < 10000 || d.bad < 10000 {
		t.Errorf("%d messages are good and %d are not: too few of a kind", d.good, d.bad)
	}
}
