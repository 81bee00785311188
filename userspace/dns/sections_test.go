package dns

import (
	"slices"
	"testing"

	mdns "github.com/miekg/dns"
)

// TestRecordsOf: each section has its own records; after a record that is not whole there
// are none.
func TestRecordsOf(t *testing.T) {
	m := new(mdns.Msg)
	m.SetQuestion("example.org.", mdns.TypeA)
	for to, list := range map[*[]mdns.RR][]string{
		&m.Answer: {"a.example.org. A 192.0.2.1", "b.example.org. A 192.0.2.2"}, &m.Ns: {"c.example.org. NS ns.example.org."}, &m.Extra: {"ns.example.org. AAAA 2001:db8::1"},
	} {
		for _, text := range list {
			rr, err := mdns.NewRR(text)
			if err != nil {
				t.Fatal(err)
			}
			*to = append(*to, rr)
		}
	}
	msg, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	f := func(msg []byte, want ...[]uint16) {
		t.Helper()
		var s Summary
		Read(msg, false, &s)
		for i, want := range want {
			var got []uint16
			var r Record
			for list := s.RecordsOf(msg, SectionAnswer+Section(i)); list.Next(&r); {
				got = append(got, r.Type)
			}
			if !slices.Equal(got, want) {
				t.Errorf("section %d of %x: types %v, want %v", i, msg, got, want)
			}
		}
	}
	f(msg, []uint16{1, 1}, []uint16{2}, []uint16{28})
	f(msg[:len(msg)-1], []uint16{1, 1}, []uint16{2}, nil)
	f(msg[:len(msg)-60], []uint16{1, 1}, nil, nil)
	f(msg[:60], []uint16{1}, nil, nil)
	f(msg[:20], nil, nil, nil)
}
