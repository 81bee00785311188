//go:build linux

package format

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	mdns "github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// benchEvents is messages of one kind of traffic.
type benchEvents struct {
	kind   string
	events []event.Event
}

// large are the messages of an authoritative server with DNSSEC.
func large(b *testing.B) benchEvents {
	set := benchEvents{kind: "large"}
	file := filepath.Join(captureFolder(), "compactor--test-scripts_knot-live.raw.pcap")
	data, err := os.ReadFile(file)
	if err != nil {
		b.Logf("no large messages: %v", err)
		return set
	}
	for payload := range udpPayloads(data) {
		if len(payload) >= dns.HeaderLen {
			set.add(payload)
		}
	}
	return set
}

// small are the messages of a resolver: queries, each with an answer of one address.
func small(b *testing.B) benchEvents {
	set := benchEvents{kind: "small"}
	for i := range 5000 {
		name := "host" + string(appendUint(nil, uint64(i))) + ".example.org."
		m := query(name)
		m.Id = uint16(i)
		m.SetEdns0(1232, i%3 == 0)
		set.add(pack(b, m))
		m.Response, m.RecursionAvailable, m.Compress = true, true, true
		m.Answer = []mdns.RR{&mdns.A{Hdr: mdns.RR_Header{Name: name, Rrtype: mdns.TypeA, Class: 1, Ttl: 300}, A: []byte{192, 0, 2, byte(i)}}}
		set.add(pack(b, m))
	}
	return set
}

func (s *benchEvents) add(msg []byte) {
	e := event.Event{
		Time:    1700000000*1e9 + int64(len(s.events))*13e3,
		Src:     netip.MustParseAddrPort("192.0.2.1:5353"),
		Dst:     netip.MustParseAddrPort("192.0.2.53:53"),
		Proto:   event.UDP,
		Message: msg,
	}
	dns.Read(msg, false, &e.DNS)
	s.events = append(s.events, e)
}

// BenchmarkEncode gives the time for one message. "reference" is miekg/dns and
// encoding/json.
func BenchmarkEncode(b *testing.B) {
	makers := map[string]func() Encoder{"reference": func() Encoder { return new(reference) }}
	names := append([]string{"reference"}, Names()...)
	for _, name := range Names() {
		f, err := New(name, Options{Server: "default"})
		if err != nil {
			b.Fatal(err)
		}
		makers[name] = f.NewEncoder
	}
	for _, set := range []benchEvents{large(b), small(b)} {
		if len(set.events) == 0 {
			continue
		}
		for _, name := range names {
			b.Run("format="+name+"/traffic="+set.kind, func(b *testing.B) { set.run(b, makers[name]()) })
		}
	}
}

func (s *benchEvents) run(b *testing.B, enc Encoder) {
	dst := make([]byte, 0, 1<<20)
	b.ReportAllocs()
	written, i := 0, 0
	start := cpuTime(b)
	for b.Loop() {
		if len(dst) > 1<<20-1<<17 { // as a block's records are written together
			dst = dst[:0]
		}
		at := len(dst)
		dst = enc.Append(dst, &s.events[i])
		written += len(dst) - at
		if i++; i == len(s.events) {
			i = 0
		}
	}
	b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N), "cpu-ns/op") // others may use the machine too
	b.ReportMetric(float64(written)/float64(b.N), "B/record")
}

// cpuTime is the processor time of this process, with the garbage collector's.
func cpuTime(b *testing.B) int64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatalf("get resource usage: %v", err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
