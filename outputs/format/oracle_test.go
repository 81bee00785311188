package format

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	mdns "github.com/miekg/dns"

	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/userspace/dns"
)

// compare compares the DNS object of msg's record with the one that miekg/dns and
// sonic, dnsmonster's own libraries, make of the message. It returns false if
// miekg/dns refuses the message: then the record must say what is wrong.
func compare(t *testing.T, msg []byte) bool {
	t.Helper()
	got := line(eventOf(msg, 0))
	var m mdns.Msg
	if m.Unpack(msg) != nil {
		if !strings.Contains(got, `,"Malformed":{"Section":"`) {
			t.Errorf("%x: miekg/dns refuses it, the record is not marked malformed: %s", msg, got)
		}
		return false
	}
	want, err := fromSonic(t, &m)
	if err != nil {
		t.Fatal(err)
	}
	if object := dnsObject(t, got); object != validUTF8(want) {
		t.Errorf("%x\n got %s\nwant %s", msg, object, want)
	}
	return true
}

func dnsObject(t *testing.T, record string) string {
	_, rest, ok1 := strings.Cut(record, `,"DNS":`)
	i := strings.LastIndex(rest, `,"IPVersion":`)
	if !ok1 || i < 0 {
		t.Fatalf("no DNS object in %s", record)
	}
	return rest[:i]
}

// validUTF8 applies the differences from sonic's default: each byte that is not UTF-8
// becomes \ufffd, and DEL and U+0080 to U+009F are escaped.
func validUTF8(text []byte) string {
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r == utf8.RuneError && n == 1 {
			b.WriteString(`\ufffd`)
		} else if r >= 0x7f && r <= 0x9f {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.Write(text[:n])
		}
		text = text[n:]
	}
	return b.String()
}

// message is a message with a question and a single record, in the section where its
// type belongs.
func message(rrtype uint16, rdata []byte) []byte {
	msg := []byte{0, 7, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0, 1}
	if rrtype == mdns.TypeOPT {
		msg[7], msg[11] = 0, 1
	}
	msg = append(msg, 0xc0, 12)
	msg = binary.BigEndian.AppendUint16(msg, rrtype)
	msg = append(msg, 0, 1, 0x12, 0, 0x80, 5)
	msg = binary.BigEndian.AppendUint16(msg, uint16(len(rdata)))
	return append(msg, rdata...)
}

// awkward are texts that JSON encoders escape differently.
var awkward = []string{"<", ">", "&", "\b", "\f", "\n", "\t", "\x00", "\x7f", `\`, `"`, "'", "\u0080", "\u009f", "\u00a0", "\u2028", "\u2029", "é", "\xff", "\xc3", "a.b c"}

// randomData mixes parts of lengths, names, addresses and text, so that much of it is
// valid for some type.
func randomData(r *rand.Rand) []byte {
	var b []byte
	for range 1 + r.IntN(6) {
		switch r.IntN(6) {
		case 0:
			b = append(b, 0)
		case 1:
			b = append(b, 0xc0, 12)
		case 2:
			b = append(b, 1, byte('a'+r.IntN(26)), 0)
		case 3:
			s := awkward[r.IntN(len(awkward))]
			b = append(append(b, byte(len(s))), s...)
		case 4:
			b = append(b, byte(r.IntN(4)))
		case 5:
			for range 1 + r.IntN(20) {
				b = append(b, byte(r.Uint32()))
			}
		}
	}
	return b
}

// TestOracleTypes: every type that miekg/dns knows, with empty and random data.
func TestOracleTypes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	types := slices.Sorted(maps.Keys(mdns.TypeToRR))
	types = append(types, 0, 65280) // unknown ones
	for _, rrtype := range types {
		if !compare(t, message(rrtype, nil)) {
			t.Errorf("type %d: miekg/dns refuses empty data", rrtype)
		}
		accepted := 0
		for i := 0; i < tier.Work(1000, 100) || accepted == 0 && i < 1000; i++ {
			if compare(t, message(rrtype, randomData(r))) {
				accepted++
			}
		}
		if accepted == 0 && rrtype != mdns.TypeANY && rrtype != mdns.TypeNXNAME { // types without data
			t.Errorf("type %d: no data that miekg/dns accepts, so nothing was compared", rrtype)
		}
	}
}

// sampleRecords have data that random bytes rarely form.
var sampleRecords = []string{
	"AAAA 2001:db8::1",
	"AAAA ::ffff:192.0.2.1",
	"AMTRELAY 10 0 1 192.0.2.1",
	"AMTRELAY 10 1 3 relay.example.org.",
	"APL 1:192.0.2.0/24 !2:2001:db8::/32 1:0.0.0.0/0",
	`CAA 0 issue "<ca.example.org>; a=\"b\""`,
	"CSYNC 66 3 A NS AAAA",
	"HIP 2 200100107B1A74DF365639CC39F1D578 AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cI rvs.example.org.",
	`HTTPS 1 . alpn="h2,h3" port=8443 ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1 ech=AAAA mandatory=alpn,port`,
	`SVCB 1 svc.example.org. no-default-alpn alpn=h2 dohpath=/q{?dns} key65333=a\008b ohttp`,
	"IPSECKEY 10 1 2 192.0.2.1 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==",
	"IPSECKEY 10 3 2 gw.example.org. AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==",
	"LOC 51 30 12.748 N 00 07 39.611 W 0.00m 0.00m 0.00m 0.00m",
	"NAPTR 100 50 \"s\" \"z3950+I2L+I2C\" \"!^.*$!<&>!\" _z3950._tcp.example.org.",
	"NSEC b.example.org. A MX RRSIG NSEC TYPE1234",
	"NSEC3 1 1 12 AABBCCDD 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR NS SOA MX RRSIG DNSKEY NSEC3PARAM",
	"NSEC3PARAM 1 0 12 AABBCCDD",
	"RRSIG A 5 3 86400 20300322173103 20030220173103 2642 example.org. oJB1W6WNGv+ldvQ3WDG0MQkg5IEhjRip8WTr",
	"SOA ns.example.org. host\\.master.example.org. 1 2 3 4 5",
	`TXT "a\008b" "\012" "<&>" "\226\128\168" "\255" ""`,
	`URI 10 1 "https://example.org/<a>&b"`,
	"EUI48 00-00-5e-00-53-2a",
	"ZONEMD 2018031500 1 1 AABB",
}

func TestOracleRecords(t *testing.T) {
	for _, text := range sampleRecords {
		rr, err := mdns.NewRR(". 5 IN " + text)
		if err != nil {
			t.Fatal(err)
		}
		m := query("example.org.")
		m.Response = true
		m.Answer = []mdns.RR{rr, rr}
		if !compare(t, pack(t, m)) {
			t.Errorf("miekg/dns refuses %s", text)
		}
	}
}

// TestOracleOptions: every EDNS option code, with all lengths and awkward content.
func TestOracleOptions(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	codes := []uint16{4, 100, 26946, 65001, 65534, 65535}
	for c := range uint16(24) {
		codes = append(codes, c)
	}
	for _, code := range codes {
		accepted := 0
		for i := range 600 {
			data := randomData(r)
			if i < 40 {
				data = bytes.Repeat([]byte{byte(i)}, i)
			}
			opt := binary.BigEndian.AppendUint16(nil, code)
			opt = binary.BigEndian.AppendUint16(opt, uint16(len(data)))
			if compare(t, message(mdns.TypeOPT, append(opt, data...))) {
				accepted++
			}
		}
		if accepted == 0 {
			t.Errorf("option %d: nothing was compared", code)
		}
	}
	subnet := func(data ...byte) {
		t.Helper()
		if !compare(t, message(mdns.TypeOPT, append([]byte{0, 8, 0, byte(len(data))}, data...))) {
			t.Errorf("client subnet %x: miekg/dns refuses it", data)
		}
	}
	subnet(0, 0, 0, 0)
	subnet(0, 1, 24, 0, 192, 0, 2)
	subnet(0, 2, 32, 0, 0x20, 1, 0xd, 0xb8)
}

// TestOracleShapes: counts, sections, several OPT records, only a header.
func TestOracleShapes(t *testing.T) {
	f := func(msg string) {
		t.Helper()
		b, err := hex.DecodeString(strings.ReplaceAll(msg, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if !compare(t, b) {
			t.Errorf("miekg/dns refuses %s", msg)
		}
	}
	const q, opt1, opt2 = "0161 00 0001 0001", "00 0029 04d0 01000000 0000", "00 0029 04d0 02000000 0000"
	f("0007 ffff 0001 0000 0000 0000")
	f("0007 0000 0000 0000 0000 0000")
	f("0007 0100 0001 0000 0000 0000" + q)
	f("0007 0100 0002 0000 0000 0000" + q + q)
	f("0007 0100 0001 ffff ffff ffff" + q)
	f("0007 0100 0001 0000 0000 0002" + q + opt1 + opt2)
	f("0007 0103 0001 0000 0000 0002" + q + opt2 + opt1)
	f("0007 0100 0001 0001 0001 0001" + q + opt1 + opt2 + opt1)
	f("0007 0100 0001 0000 0000 0000" + q + "ffff")
	f("0007 0100 0001 0000 0000 0000 0161 00")
	f("0007 0100 0001 0000 0000 0000 0161 00 0001")
}

// capturedMessages yields all messages over UDP in a folder of captures, or a tenth of
// them under the race detector.
func capturedMessages(t testing.TB) iter.Seq[[]byte] {
	files, _ := filepath.Glob(filepath.Join(captureFolder(), "*.pcap"))
	if len(files) == 0 {
		t.Skipf("no captures in %s; SENSOR_TEST_CAPTURES names a folder", captureFolder())
	}
	n, each := 0, tier.Work(1, 10)
	return func(yield func([]byte) bool) {
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for payload := range udpPayloads(data) {
				if n++; n%each == 0 && len(payload) >= dns.HeaderLen && !yield(payload) {
					return
				}
			}
		}
	}
}

func TestOracleCaptures(t *testing.T) {
	messages, compared := 0, 0
	for payload := range capturedMessages(t) {
		messages++
		if compare(t, payload) {
			compared++
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d messages, %d that miekg/dns accepts", messages, compared)
	if compared == 0 {
		t.Error("nothing was compared")
	}
}

func captureFolder() string {
	return cmp.Or(os.Getenv("SENSOR_TEST_CAPTURES"), "../../../shared/captures")
}
