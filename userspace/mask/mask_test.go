package mask

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

func TestAddr(t *testing.T) {
	f := func(addr string, v4, v6 int, want string) {
		t.Helper()
		if got := (Bits{v4, v6}).Addr(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("Bits{%d, %d}.Addr(%s) = %s, want %s", v4, v6, addr, got, want)
		}
	}
	f("192.0.2.77", 32, 0, "192.0.2.77")
	f("192.0.2.77", 24, 0, "192.0.2.0")
	f("192.0.2.77", 31, 0, "192.0.2.76")
	f("192.0.2.77", 0, 128, "0.0.0.0")
	f("192.0.2.77", 40, 128, "192.0.2.77")
	f("192.0.2.77", -1, 128, "0.0.0.0")
	f("2001:db8::1", 0, 128, "2001:db8::1")
	f("2001:db8:1::1", 32, 32, "2001:db8::")
	f("2001:db8::1", 32, 0, "::")
	f("::ffff:192.0.2.77", 24, 128, "::ffff:192.0.2.0")
	f("::ffff:192.0.2.77", 32, 64, "::")
	f("::ffff:192.0.2.77", 32, 128, "::ffff:192.0.2.77")
	if got := (Bits{0, 0}).Addr(netip.Addr{}); got.IsValid() {
		t.Errorf("no address became %v", got)
	}
	if got := (Bits{24, 64}).AddrPort(netip.MustParseAddrPort("192.0.2.77:53")).String(); got != "192.0.2.0:53" {
		t.Errorf("AddrPort = %s", got)
	}
}

const (
	question = "07 6578616d706c65 03 6f7267 00 0001 0001"
	opt      = "00 0029 04d0 00000000"
	answer   = "c00c 0001 0001 00000e10 0004 c0000207"
)

func TestAppendMasked(t *testing.T) {
	f := func(name string, bits Bits, msg, want string) {
		t.Helper()
		in := unhex(t, msg)
		before := bytes.Clone(in)
		prefix := []byte("kept")
		got, changed := bits.AppendMasked(prefix, in)
		if !bytes.Equal(in, before) {
			t.Errorf("%s: the message itself was changed", name)
		}
		if !changed && (want != "" || len(got) != len(prefix)) {
			t.Errorf("%s: nothing was masked", name)
		}
		if changed && (want == "" || !bytes.Equal(got, append([]byte("kept"), unhex(t, want)...))) {
			t.Errorf("%s: got %x, want kept + %s", name, got, want)
		}
	}
	head := func(an, ns, ar string) string { return "0007 0100 0001 00" + an + "00" + ns + "00" + ar + question }
	b := Bits{24, 32}
	f("IPv4", b, head("00", "00", "01")+opt+"000c 0008 0008 0001 20 00 c000024d", head("00", "00", "01")+opt+"000c 0008 0008 0001 20 00 c0000200")
	f("IPv6", b, head("00", "00", "01")+opt+"000e 0008 000a 0002 30 00 20010db81234", head("00", "00", "01")+opt+"000e 0008 000a 0002 30 00 20010db80000")
	f("IPv4-mapped", Bits{24, 128}, head("00", "00", "01")+opt+"0018 0008 0014 0002 80 00 00000000000000000000ffffc000024d", head("00", "00", "01")+opt+"0018 0008 0014 0002 80 00 00000000000000000000ffffc0000200")
	f("IPv4-mapped, short", Bits{0, 128}, head("00", "00", "01")+opt+"0010 0008 000c 0002 40 00 0000000000000001", "")
	f("short enough", b, head("00", "00", "01")+opt+"000b 0008 0007 0001 18 00 c00002", "")
	f("odd bits", Bits{21, 0}, head("00", "00", "01")+opt+"000b 0008 0007 0001 18 00 c000ff", head("00", "00", "01")+opt+"000b 0008 0007 0001 18 00 c000f8")
	f("one byte", Bits{4, 0}, head("00", "00", "01")+opt+"0009 0008 0005 0001 08 00 ff", head("00", "00", "01")+opt+"0009 0008 0005 0001 08 00 f0")
	f("no address", b, head("00", "00", "01")+opt+"0008 0008 0004 0001 00 00", "")
	f("unknown family", b, head("00", "00", "01")+opt+"000a 0008 0006 0009 10 00 ffff", head("00", "00", "01")+opt+"000a 0008 0006 0009 10 00 0000")
	f("all stays", Bits{32, 128}, head("00", "00", "01")+opt+"000c 0008 0008 0001 20 00 c000024d", "")
	f("after other options", b, head("00", "00", "01")+opt+"0012 000a 0002 abcd 0008 0008 0001 20 00 c000024d", head("00", "00", "01")+opt+"0012 000a 0002 abcd 0008 0008 0001 20 00 c0000200")
	f("twice in a record", b, head("00", "00", "01")+opt+"0018 0008 0008 0001 20 00 c000024d 0008 0008 0001 20 00 c0000201",
		head("00", "00", "01")+opt+"0018 0008 0008 0001 20 00 c0000200 0008 0008 0001 20 00 c0000200")
	f("two records", b, head("00", "00", "02")+opt+"000c 0008 0008 0001 20 00 c000024d"+opt+"000c 0008 0008 0001 20 00 c0000201",
		head("00", "00", "02")+opt+"000c 0008 0008 0001 20 00 c0000200"+opt+"000c 0008 0008 0001 20 00 c0000200")
	f("after an answer", b, head("01", "00", "01")+answer+opt+"000c 0008 0008 0001 20 00 c000024d", head("01", "00", "01")+answer+opt+"000c 0008 0008 0001 20 00 c0000200")
	f("in the answer section", b, head("01", "00", "00")+opt+"000c 0008 0008 0001 20 00 c000024d", head("01", "00", "00")+opt+"000c 0008 0008 0001 20 00 c0000200")
	f("option runs past the end", b, head("00", "00", "01")+opt+"000c 0008 0099 0001 20 00 c000024d", head("00", "00", "01")+opt+"000c 0008 0099 0001 20 00 c0000200")
	f("record runs past the end", b, head("00", "00", "01")+opt+"0099 0008 0008 0001 20 00 c000024d", head("00", "00", "01")+opt+"0099 0008 0008 0001 20 00 c0000200")
	f("no OPT", b, head("01", "00", "00")+answer, "")
	f("too short", b, "0007 0100", "")
	f("question runs past the end", b, "0007 0100 0001 0000 0000 0001 07 6578", "")
}

func unhex(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAllocatesNothing(t *testing.T) {
	msg := unhex(t, "0007 0100 0001 0000 0000 0001"+question+opt+"000c 0008 0008 0001 20 00 c000024d")
	buf := make([]byte, 0, 512)
	if n := testing.AllocsPerRun(1000, func() { buf, _ = Bits{24, 64}.AppendMasked(buf[:0], msg) }); n != 0 {
		t.Errorf("AppendMasked allocates %v times, want 0", n)
	}
}

// FuzzAppendMasked: no panic; the original and all lengths stay; bits are only
// cleared; and a masked message has nothing left to mask.
func FuzzAppendMasked(f *testing.F) {
	f.Add([]byte("\x00\x07\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x0c\x00\x08\x00\x08\x00\x01\x20\x00\xc0\x00\x02\x4d"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		before := bytes.Clone(msg)
		got, changed := Bits{24, 64}.AppendMasked(nil, msg)
		if !bytes.Equal(msg, before) {
			t.Fatal("the message itself was changed")
		}
		if !changed {
			return
		}
		if len(got) != len(msg) {
			t.Fatalf("length %d, was %d", len(got), len(msg))
		}
		for i := range got {
			if got[i]&^msg[i] != 0 {
				t.Fatalf("byte %d: %02x became %02x", i, msg[i], got[i])
			}
		}
		if _, again := (Bits{24, 64}).AppendMasked(nil, got); again {
			t.Error("masking twice differs from masking once")
		}
	})
}

func BenchmarkAppendMasked(b *testing.B) {
	msg := append([]byte("\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x07example\x03org\x00\x00\x01\x00\x01"),
		"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x0c\x00\x08\x00\x08\x00\x01\x20\x00\xc0\x00\x02\x4d"...)
	buf := make([]byte, 0, 512)
	for b.Loop() {
		buf, _ = Bits{24, 64}.AppendMasked(buf[:0], msg)
	}
}
