package format

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"dnsmonster-sensor/userspace/dns"
)

// wireRecord is a record whose name is that of the question.
func wireRecord(rrtype uint16, data string) string {
	b := append([]byte{0xc0, 12}, binary.BigEndian.AppendUint16(nil, rrtype)...)
	b = append(b, 0, 1, 0, 0, 0, 60)
	return string(binary.BigEndian.AppendUint16(b, uint16(len(data)))) + data
}

// wireMessage is a response with those records in its sections.
func wireMessage(an, ns, ar []string) []byte {
	b := []byte{0, 7, 0x84, 0, 0, 1, 0, byte(len(an)), 0, byte(len(ns)), 0, byte(len(ar)), 1, 'a', 0, 0, 1, 0, 1}
	return append(b, strings.Join(slices.Concat(an, ns, ar), "")...)
}

// shown is the part of a JSON record that these tests read.
type shown struct {
	DNS struct {
		Answer, Ns, Extra []struct {
			Hdr   struct{ Rrtype uint16 }
			Rdata string
			A     string
		}
	}
	Malformed *malformed
}

// shownBy returns the records of all formats: those of JSON parsed, of the template as
// text.
func shownBy(t *testing.T, msg []byte) (s shown, flat, ocsf map[string]any, template string) {
	t.Helper()
	text := func(name, template string) []byte {
		f, err := New(name, Options{Template: template})
		if err != nil {
			t.Fatal(err)
		}
		return f.NewEncoder().Append(nil, eventOf(msg, 0))
	}
	read := func(name string, to any) {
		if b := text(name, ""); json.Unmarshal(b, to) != nil {
			t.Fatalf("%s: %x gives %s", name, msg, b)
		}
	}
	read("json", &s)
	read("json-flat", &flat)
	read("json-ocsf", &ocsf)
	return s, flat, ocsf["unmapped"].(map[string]any), string(text("gotemplate", "{{.DNS.Answer}} {{.DNS.Ns}} {{.DNS.Extra}}"))
}

// misfits are data that do not fit their types.
var misfits = []struct {
	name   string
	rrtype uint16
	data   string
}{
	{"short", mdns.TypeAAAA, "\x20\x01\x0d\xb8\x01"},
	{"long", mdns.TypeA, "\xc0\x00\x02\x01\x00"},
	{"string past the end", mdns.TypeTXT, "\xffab"},
	{"name past the end", mdns.TypeNS, "\x05ab"},
	{"pointer past the record", mdns.TypeCNAME, "\xc0\xff"},
	{"reserved label", mdns.TypePTR, "\x41b\x00"},
	{"bytes after a name", mdns.TypeCNAME, "\x01b\x00\x00"},
	{"keys out of order", mdns.TypeHTTPS, "\x00\x01\x00\x00\x03\x00\x02\x01\xbb\x00\x01\x00\x03\x02h2"},
	{"port of three bytes", mdns.TypeSVCB, "\x00\x01\x00\x00\x03\x00\x03\x01\xbb\x00"},
	{"windows out of order", mdns.TypeNSEC, "\x00\x01\x01\x40\x00\x01\x40"},
	{"window of no bytes", mdns.TypeNSEC, "\x00\x00\x00"},
	{"tag past the end", mdns.TypeCAA, "\x00\x09issue"},
	{"half a number", mdns.TypeLOC, "\x00\x12\x16\x13\x8b\x0d"},
	{"unknown family", mdns.TypeAPL, "\x00\x03\x18\x03\xc0\x00\x02"},
	{"salt past the end", mdns.TypeNSEC3, "\x01\x00\x00\x0a\x09ab"},
	{"half a serial", mdns.TypeSOA, "\x01b\x00\x01c\x00\x00\x00"},
	{"data of a type without data", mdns.TypeANY, "x"},
	{"subnet of 33 bits", mdns.TypeOPT, "\x00\x08\x00\x07\x00\x01\x21\x00\xc0\x00\x02"},
	{"option longer than the record", mdns.TypeOPT, "\x00\x0a\x00\x18\x31\x32\x33"},
	{"half an option", mdns.TypeOPT, "\x00\x0a\x00"},
}

// TestMisfits: in each section and format, a record whose data do not fit its type is
// shown as one of an unknown type. The records after it are shown as usual, and the
// verdict names the first misfit.
func TestMisfits(t *testing.T) {
	a := func(n byte) string { return wireRecord(mdns.TypeA, "\xc0\x00\x02"+string(n)) }
	opt := "\x00\x00\x29\x04\xd0\x05\x00\x80\x00\x00\x00" // its rcode is 5<<4
	for _, m := range misfits {
		bad := wireRecord(m.rrtype, m.data)
		want := hex.EncodeToString([]byte(m.data))
		f := func(section dns.Section, index int, msg []byte) {
			t.Helper()
			s, flat, ocsf, template := shownBy(t, msg)
			raw := 0
			for i, list := range [][]struct {
				Hdr   struct{ Rrtype uint16 }
				Rdata string
				A     string
			}{s.DNS.Answer, s.DNS.Ns, s.DNS.Extra} {
				if counted := int(msg[7+2*i]); len(list) != counted {
					t.Fatalf("%s: %d of %d records in section %d", m.name, len(list), counted, i)
				}
				for _, rr := range list {
					if rr.Hdr.Rrtype == m.rrtype && rr.Rdata == want {
						raw++
					}
				}
			}
			if raw != bytes.Count(msg, []byte(bad)) {
				t.Errorf("%s: %d records with Rdata %s, want %d", m.name, raw, want, bytes.Count(msg, []byte(bad)))
			}
			wantShort := fmt.Sprintf("%s %d: %s", section, index, dns.FaultRData)
			if s.Malformed == nil || *s.Malformed != (malformed{section.String(), uint16(index), dns.FaultRData.String()}) {
				t.Errorf("%s: Malformed %+v, want %s", m.name, s.Malformed, wantShort)
			}
			if flat["malformed"] != wantShort || ocsf["malformed"] != wantShort {
				t.Errorf("%s: json-flat says %v, json-ocsf %v, want %s", m.name, flat["malformed"], ocsf["malformed"], wantShort)
			}
			if raw := fmt.Sprintf(`\# %d %s`, len(m.data), want); !strings.Contains(template, raw) || !strings.Contains(template, "192.0.2.9") {
				t.Errorf("%s: no %s, or not the record after it, in %s", m.name, raw, template)
			}
			if flat["rcode"] != float64(5<<4) || flat["edns"] != true {
				t.Errorf("%s: json-flat says rcode %v, edns %v", m.name, flat["rcode"], flat["edns"])
			}
		}
		f(dns.SectionAnswer, 1, wireMessage([]string{a(1), bad, a(3)}, []string{a(4)}, []string{a(9), opt}))
		f(dns.SectionAuthority, 0, wireMessage([]string{a(1)}, []string{bad, a(9)}, []string{opt}))
		f(dns.SectionAdditional, 1, wireMessage([]string{a(1)}, nil, []string{a(2), bad, a(9), opt}))
		f(dns.SectionAnswer, 0, wireMessage([]string{bad, bad}, []string{bad}, []string{bad, a(9), opt}))
	}
}

// TestMisfitsBeforeCut: data that do not fit are reported before a later record that is
// not whole, which is not shown.
func TestMisfitsBeforeCut(t *testing.T) {
	good := wireRecord(mdns.TypeA, "\xc0\x00\x02\x01")
	bad := wireRecord(mdns.TypeA, "\xc0\x00\x02\x01\x00")
	msg := wireMessage([]string{good, bad, good, good}, nil, nil)
	s, flat, ocsf, _ := shownBy(t, msg[:len(msg)-1])
	const want = "answer 1: bad record data"
	if len(s.DNS.Answer) != 3 || s.Malformed == nil || s.Malformed.Index != 1 || flat["malformed"] != want || ocsf["malformed"] != want {
		t.Errorf("%d records, %+v, %v, %v; want 3, %s", len(s.DNS.Answer), s.Malformed, flat["malformed"], ocsf["malformed"], want)
	}
}

// TestFormatsAgree: all formats have the same verdict on any data, and show all records
// of a message whose records are whole.
func TestFormatsAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	types := slices.Sorted(maps.Keys(mdns.TypeToRR))
	misfit := 0
	for range 1500 {
		var list [3][]string
		for range 1 + r.IntN(5) {
			i := r.IntN(3)
			data := randomData(r)
			if r.IntN(2) == 0 {
				data = []byte(misfits[r.IntN(len(misfits))].data)
			}
			list[i] = append(list[i], wireRecord(types[r.IntN(len(types))], string(data)))
		}
		msg := wireMessage(list[0], list[1], list[2])
		s, flat, ocsf, _ := shownBy(t, msg)
		if len(s.DNS.Answer) != len(list[0]) || len(s.DNS.Ns) != len(list[1]) || len(s.DNS.Extra) != len(list[2]) {
			t.Errorf("%x: %d, %d and %d records are shown", msg, len(s.DNS.Answer), len(s.DNS.Ns), len(s.DNS.Extra))
		}
		want := any(nil)
		if m := s.Malformed; m != nil {
			misfit++
			want = fmt.Sprintf("%s %d: %s", m.Section, m.Index, m.Why)
		}
		if flat["malformed"] != want || ocsf["malformed"] != want {
			t.Errorf("%x: json says %v, json-flat %v, json-ocsf %v", msg, want, flat["malformed"], ocsf["malformed"])
		}
	}
	if misfit < 250 || misfit > 1450 {
		t.Errorf("%d of 1500 messages have a misfit, want 250 to 1450", misfit)
	}
}
