package format

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"dnsmonster-sensor/userspace/dns"
)

// bombs are messages of nearly 64 KiB whose names are all pointers to one name of 255
// bytes, each of which becomes five characters in JSON.
func bombs() map[string][]byte {
	label := func(n int) string { return string([]byte{byte(n)}) + strings.Repeat("\x00", n) }
	question := label(63) + label(63) + label(63) + label(60) + "\x00" + "\x00\x01\x00\x01"
	const room = 65000
	repeat := func(counts string, entry string) []byte {
		n := (room - len(question)) / len(entry)
		b := append([]byte("\x00\x01\x81\x80"+counts+"\x00\x00\x00\x00"+question), strings.Repeat(entry, n)...)
		at := 6
		if counts[:2] == "  " { // questions, with the first
			at, n = 4, n+1
			copy(b[6:], "\x00\x00")
		}
		binary.BigEndian.PutUint16(b[at:], uint16(n))
		return b
	}
	record := func(kind, rdata string) string {
		return "\xc0\x0c" + kind + "\x00\x01\x00\x00\x0e\x10" + string(binary.BigEndian.AppendUint16(nil, uint16(len(rdata)))) + rdata
	}
	return map[string][]byte{
		"NS":        repeat("\x00\x01  ", record("\x00\x02", "\xc0\x0c")),
		"SOA":       repeat("\x00\x01  ", record("\x00\x06", "\xc0\x0c\xc0\x0c"+strings.Repeat("\x00", 20))),
		"HIP":       repeat("\x00\x01  ", record("\x00\x37", "\x00\x00\x00\x00"+strings.Repeat("\xc0\x0c", 32000))),
		"questions": repeat("    ", "\xc0\x0c\x00\x01\x00\x01"),
	}
}

// TestCompressionBombs: if decompressed names are far longer than the message, the
// record stops at a limit and says where. CSV, with a row for each question, has no
// such limit: each row has one name.
func TestCompressionBombs(t *testing.T) {
	for name, msg := range bombs() {
		e := eventOf(msg, 0)
		if e.DNS.Malformed.Yes() {
			t.Fatalf("%s: the message itself is malformed: %+v", name, e.DNS.Malformed)
		}
		for _, form := range []string{"json", "json-flat", "json-ocsf", "csv"} {
			f, err := New(form, Options{})
			if err != nil {
				t.Fatal(err)
			}
			enc := f.NewEncoder()
			text := enc.Append(nil, e)
			limit := maxText(len(msg)) + 64<<10
			if form == "csv" {
				limit = 200 * len(msg)
			}
			if len(text) > limit {
				t.Errorf("%s: %s: %d bytes of %d, limit %d", name, form, len(text), len(msg), limit)
			}
			if form == "json" {
				if !json.Valid(text) || !bytes.Contains(text, []byte(`"Why":"`+dns.FaultUnfolds.String())) {
					t.Errorf("%s: the record does not say that something is left out: ...%s", name, text[len(text)-300:])
				}
			} else if form != "csv" && len(text) > maxText(len(msg)) && !bytes.Contains(text, []byte(dns.FaultUnfolds.String())) {
				t.Errorf("%s: %s: the record does not say that something is left out: ...%s", name, form, text[len(text)-300:])
			}
			if n := testing.AllocsPerRun(3, func() { text = enc.Append(text[:0], e) }); n != 0 {
				t.Errorf("%s: %s allocates %v times, want 0", name, form, n)
			}
		}
	}
}

// TestLongMessagesAreWhole: an honest long message stays below the limit.
func TestLongMessagesAreWhole(t *testing.T) {
	m := answers(3900) // of 16 bytes each
	m.Compress = true
	long := strings.Repeat("a-rather-long-label-of-an-ordinary-zone.", 5) + "example.org."
	m.Question[0].Name = long
	for _, rr := range m.Answer {
		rr.Header().Name = long
	}
	e := eventOf(pack(t, m), 0)
	if text := line(e); strings.Contains(text, "Malformed") || strings.Count(text, `"Hdr"`) != len(m.Answer) {
		t.Errorf("%d of %d records, in %d bytes of %d", strings.Count(text, `"Hdr"`), len(m.Answer), len(text), len(e.Message))
	}
}

// TestWrongCounts: a header that counts 65,535 entries in each section of an almost
// empty message gives a short record in every format.
func TestWrongCounts(t *testing.T) {
	for _, body := range []string{"", "\x00\x00\x01\x00\x01", "\x07example\x03org\x00\x00\x01\x00\x01\xc0\x0c"} {
		e := eventOf([]byte("\x00\x07\x81\x80\xff\xff\xff\xff\xff\xff\xff\xff"+body), 0)
		if !e.DNS.Malformed.Yes() {
			t.Errorf("%q: it is not malformed", body)
		}
		for _, form := range Names() {
			f, err := New(form, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if text := f.NewEncoder().Append(nil, e); len(text) > 1000 {
				t.Errorf("%q: %s: %d bytes", body, form, len(text))
			}
		}
	}
}

// TestTemplatesOfHugeLists: templates show records as miekg/dns prints them, which
// takes minutes for some lists of 64 KiB. Those are shown as data of an unknown type,
// and the records around them as usual.
func TestTemplatesOfHugeLists(t *testing.T) {
	var types []byte // of NSEC, all of them
	for window := range 256 {
		types = append(append(types, byte(window), 32), bytes.Repeat([]byte{0xff}, 32)...)
	}
	option := func(code byte, n int) []byte {
		return append([]byte{0, code, byte(n >> 8), byte(n)}, make([]byte, n)...)
	}
	for _, list := range []struct {
		kind string
		data []byte
	}{
		{"\x00\x37", append(make([]byte, 4), bytes.Repeat([]byte("\xc0\x0c"), 32000)...)}, // HIP
		{"\x00\x2f", append([]byte{0}, types...)},                                         // NSEC
		{"\x00\x3e", append(make([]byte, 6), types...)},                                   // CSYNC
		{"\x00\x2a", bytes.Repeat([]byte("\x00\x01\x00\x00"), 16000)},                     // APL
		{"\x00\x29", option(5, 65000)},                                                    // OPT: DAU
		{"\x00\x29", option(3, 65000)},                                                    // OPT: NSID
	} {
		msg := []byte("\x00\x07\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01" +
			"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\xc0\x00\x02\x01" + "\xc0\x0c" + list.kind + "\x00\x01\x00\x00\x00\x00")
		msg = append(binary.BigEndian.AppendUint16(msg, uint16(len(list.data))), list.data...)
		msg = append(msg, "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\xc0\x00\x02\x09"...)
		msg[7] = 3
		f, err := New("gotemplate", Options{Template: "{{len .DNS.Answer}} {{.DNS.Answer}}"})
		if err != nil {
			t.Fatal(err)
		}
		text := string(f.NewEncoder().Append(nil, eventOf(msg, 0)))
		if !strings.HasPrefix(text, "3 [example.org.") || !strings.Contains(text, `\# `+strconv.Itoa(len(list.data))+" ") || !strings.Contains(text, "192.0.2.9") {
			t.Errorf("type %x: %d bytes: %.100s ... %s", list.kind, len(text), text, text[max(0, len(text)-100):])
		}
	}
}
