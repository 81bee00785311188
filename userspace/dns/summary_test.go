package dns

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
)

// message is a header with these flags and counts, followed by body.
func message(flags uint16, qd, an, ns, ar uint16, body string) []byte {
	b := []byte{0x12, 0x34}
	for _, n := range []uint16{flags, qd, an, ns, ar} {
		b = binary.BigEndian.AppendUint16(b, n)
	}
	return append(b, body...)
}

const (
	example  = "\x07example\x03org\x00"
	question = example + "\x00\x01\x00\x01"
	record   = "\xc0\x0c\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\xc0\x00\x02\x01"
	opt      = "\x00\x00\x29\x04\xd0\x05\x00\x80\x00\x00\x00"
)

// labels is a name of n bytes on the wire, with its final zero.
func labels(n int) string {
	var b strings.Builder
	for n--; n > 0; {
		l := min(n-1, 63)
		if n-1-l == 1 { // a label needs two bytes
			l--
		}
		b.WriteByte(byte(l))
		b.WriteString(strings.Repeat("a", l))
		n -= l + 1
	}
	b.WriteByte(0)
	return b.String()
}

func pointer(to int) string { return string([]byte{0xc0 | byte(to>>8), byte(to)}) }

// TestDefect13Read: every whole header gives a summary, which says where the message
// is malformed.
func TestDefect13Read(t *testing.T) {
	f := func(name string, msg []byte, want Malformed, hasQuestion bool) {
		t.Helper()
		var s Summary
		if !Read(msg, false, &s) {
			t.Errorf("%s: not read", name)
		}
		if s.Malformed != want || s.HasQuestion != hasQuestion {
			t.Errorf("%s: malformed %v %v %d, question %v; want %v %v %d, %v", name, s.Malformed.Section, s.Malformed.Fault,
				s.Malformed.Index, s.HasQuestion, want.Section, want.Fault, want.Index, hasQuestion)
		}
	}
	good := Malformed{}
	const Q, A, N, X, E = SectionQuestion, SectionAnswer, SectionAuthority, SectionAdditional, SectionEnd
	f("query", message(0x0100, 1, 0, 0, 0, question), good, true)
	f("response", message(0x8180, 1, 1, 1, 1, question+record+record+record), good, true)
	f("a header alone", message(0x8005, 0, 0, 0, 0, ""), good, false)
	f("no question, an answer", message(0x8000, 0, 1, 0, 0, "\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00"), good, false)
	f("two questions", message(0, 2, 0, 0, 0, question+question), good, true)
	f("three questions, two there", message(0, 3, 0, 0, 0, question+question), Malformed{Q, FaultShort, 2}, true)
	f("counted, but missing", message(0, 1, 0, 0, 0, ""), Malformed{Q, FaultShort, 0}, false)
	f("name runs past the end", message(0, 1, 0, 0, 0, "\x07exam"), Malformed{Q, FaultName, 0}, false)
	f("no type", message(0, 1, 0, 0, 0, example+"\x00"), Malformed{Q, FaultRecord, 0}, false)
	f("reserved label", message(0, 1, 0, 0, 0, "\x41x\x00\x00\x01\x00\x01"), Malformed{Q, FaultName, 0}, false)
	f("reserved label after a pointer", message(0, 1, 0, 0, 0, pointer(18)+"\x00\x01\x00\x01\x80"), Malformed{Q, FaultName, 0}, false)
	f("255 bytes", message(0, 1, 0, 0, 0, labels(255)+"\x00\x01\x00\x01"), good, true)
	f("256 bytes", message(0, 1, 0, 0, 0, labels(256)+"\x00\x01\x00\x01"), Malformed{Q, FaultName, 0}, false)
	f("255 bytes with a pointer", message(0, 1, 1, 0, 0, labels(200)+"\x00\x01\x00\x01"+labels(56)[:55]+pointer(12)+record[2:]), good, true)
	f("256 bytes with a pointer", message(0, 1, 1, 0, 0, labels(200)+"\x00\x01\x00\x01"+labels(57)[:56]+pointer(12)+record[2:]), Malformed{A, FaultName, 0}, true)
	f("any bytes", message(0, 1, 0, 0, 0, "\x04\x00.\\\xff\x00\x00\x01\x00\x01"), good, true)
	f("root", message(0, 1, 0, 0, 0, "\x00\x00\x02\x00\x01"), good, true)
	f("pointer to itself", message(0, 1, 0, 0, 0, pointer(12)+"\x00\x01\x00\x01"), Malformed{Q, FaultPointer, 0}, false)
	f("pointers in a circle", message(0, 1, 0, 0, 0, pointer(14)+pointer(12)), Malformed{Q, FaultPointer, 0}, false)
	f("a label in the circle", message(0, 1, 0, 0, 0, "\x01a"+pointer(12)), Malformed{Q, FaultPointer, 0}, false)
	f("pointer out of the message", message(0, 1, 0, 0, 0, pointer(500)+"\x00\x01\x00\x01"), Malformed{Q, FaultPointer, 0}, false)
	f("half a pointer", message(0, 1, 0, 0, 0, "\xc0"), Malformed{Q, FaultName, 0}, false)
	f("forward pointer", message(0, 1, 0, 0, 0, pointer(18)+"\x00\x01\x00\x01"), Malformed{Q, FaultPointer, 0}, false)
	f("forward pointer to a name", message(0, 1, 1, 0, 0, pointer(18)+"\x00\x01\x00\x01"+example+record[2:]), good, true)
	f("126 pointers", message(0, 1, 0, 0, 0, forward(126)), Malformed{E, FaultTrailing, 2*125 + 1}, true)
	f("127 pointers", message(0, 1, 0, 0, 0, forward(127)), Malformed{Q, FaultPointer, 0}, false)
	f("OPT", message(0, 1, 0, 0, 1, question+opt), good, true)
	f("OPT twice", message(0, 1, 0, 0, 2, question+opt+opt), good, true)
	f("OPT among answers", message(0, 1, 1, 0, 0, question+opt), good, true)
	f("OPT data runs past the end", message(0, 1, 0, 0, 1, question+opt[:9]+"\x00\x05abcd"), Malformed{X, FaultRecord, 0}, true)
	f("answer's name runs past the end", message(0x8000, 1, 1, 0, 0, question+"\x05ab"), Malformed{A, FaultName, 0}, true)
	f("second answer ends early", message(0x8000, 1, 2, 0, 0, question+record+record[:9]), Malformed{A, FaultRecord, 1}, true)
	f("authority is missing", message(0x8000, 1, 1, 1, 0, question+record), Malformed{N, FaultShort, 0}, true)
	f("trailing bytes", message(0, 1, 0, 0, 0, question+"abc"), Malformed{E, FaultTrailing, 3}, true)
	f("trailing bytes after a header", message(0, 0, 0, 0, 0, "abc"), Malformed{E, FaultTrailing, 3}, false)
	const keepalive = "\x00\x01\x00\x08\x00\x00\x3a\x98\x00\x03\x66\x40"
	f("DSO", message(0x3000, 0, 0, 0, 0, keepalive), good, false)
	f("DSO, padded", message(0xb000, 0, 0, 0, 0, keepalive+"\x00\x03\x00\x02\x00\x00"), good, false)
	f("DSO, a TLV runs past the end", message(0x3000, 0, 0, 0, 0, keepalive[:11]), Malformed{E, FaultRecord, 0}, false)
	f("DSO, half a TLV", message(0x3000, 0, 0, 0, 0, keepalive+"\x00\x03\x00"), Malformed{E, FaultRecord, 1}, false)
	f("DSO with a question", message(0x3000, 1, 0, 0, 0, question+keepalive), Malformed{E, FaultTrailing, 12}, true)
	f("not DSO", message(0x2800, 0, 0, 0, 0, keepalive), Malformed{E, FaultTrailing, 12}, false)
	f("65,535 records counted", message(0, 0xffff, 0xffff, 0xffff, 0xffff, question), Malformed{Q, FaultShort, 1}, true)
	big := "\x00\x00\x10\x00\x01\x00\x00\x00\x00" + string(binary.BigEndian.AppendUint16(nil, 65535-12-11)) + strings.Repeat("x", 65535-12-11)
	f("65,535 bytes", message(0x8000, 0, 1, 0, 0, big), good, false)
}

// forward is a question whose name is n pointers, each to the next, then the root.
func forward(n int) string {
	b := pointer(18) + "\x00\x01\x00\x01"
	for i := 1; i < n; i++ {
		b += pointer(18 + 2*i)
	}
	return b + "\x00"
}

func TestReadHeader(t *testing.T) {
	f := func(name string, flags uint16, opcode, rcode uint8, response, truncated bool) {
		t.Helper()
		var s Summary
		if !Read(message(flags, 0, 0, 0, 0, ""), false, &s) || s.Opcode() != opcode || s.Header.Rcode() != rcode ||
			s.Response() != response || s.Truncated() != truncated || s.ID != 0x1234 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	f("query", 0x0100, 0, 0, false, false)
	f("inverse query", 0x0800, 1, 0, false, false)
	f("notify", 0x2400, 4, 0, false, false)
	f("update, refused", 0xa805, 5, 5, true, false)
	f("TC", 0x8380, 0, 0, true, true)
	f("every bit", 0xffff, 15, 15, true, true)
	f("the Z bit", 0x0040, 0, 0, false, false)
	for n := range HeaderLen {
		s := Summary{QType: 7}
		if Read(make([]byte, n), false, &s) || s.QType != 7 {
			t.Errorf("%d bytes were read as a message", n)
		}
	}
}

// TestReadEDNS: of several OPT records the last one in the additional section counts.
// OPT records in other sections do not.
func TestReadEDNS(t *testing.T) {
	f := func(name string, msg []byte, present bool, version uint8, rcode uint16, do bool, size uint16) {
		t.Helper()
		var s Summary
		Read(msg, false, &s)
		if e := s.EDNS; e.Present != present || e.Version != version || s.Rcode() != rcode || e.DO != do || e.UDPSize != size {
			t.Errorf("%s: %+v, rcode %d", name, e, s.Rcode())
		}
	}
	other := "\x00\x00\x29\x02\x00\x00\x01\x00\x00\x00\x00"
	f("none", message(0x8003, 1, 0, 0, 0, question), false, 0, 3, false, 0)
	f("one", message(0x8003, 1, 0, 0, 1, question+opt), true, 0, 0x53, true, 0x04d0)
	f("two", message(0x8003, 1, 0, 0, 2, question+opt+other), true, 1, 3, false, 0x0200)
	f("among answers", message(0x8003, 1, 1, 0, 0, question+opt), false, 0, 3, false, 0)
	f("before a broken record", message(0x8003, 1, 0, 0, 2, question+opt+"\x05"), true, 0, 0x53, true, 0x04d0)
}

// TestDefect17CaptureCut: if the capture cut the message, that is the fault.
func TestDefect17CaptureCut(t *testing.T) {
	whole := message(0x8180, 1, 1, 0, 1, question+record+opt)
	for n := HeaderLen; n < len(whole); n++ {
		var s Summary
		if !Read(whole[:n], true, &s) || s.Malformed.Fault != FaultCaptureCut {
			t.Errorf("cut at %d: %v", n, s.Malformed)
		}
		if s.HasQuestion != (n >= HeaderLen+len(question)) {
			t.Errorf("cut at %d: question %v", n, s.HasQuestion)
		}
	}
	var s Summary
	if Read(append(whole, 1), true, &s); s.Malformed.Fault != FaultTrailing {
		t.Errorf("whole, then trailing bytes and a cut: %v", s.Malformed)
	}
	if Read(message(0x3000, 0, 0, 0, 0, "\x00\x01\x00\x08\x00\x00"), true, &s); s.Malformed.Fault != FaultCaptureCut {
		t.Errorf("a cut TLV: %v", s.Malformed)
	}
}

func TestAppendName(t *testing.T) {
	f := func(name, wire, want string, ok bool) {
		t.Helper()
		got, good := AppendName([]byte("> "), []byte(wire), 0)
		if string(got) != "> "+want || good != ok {
			t.Errorf("%s: %q %v, want %q %v", name, got, good, want, ok)
		}
	}
	f("root", "\x00", ".", true)
	f("plain", example, "example.org.", true)
	f("escapes", "\x09 .'@;()\"\\\x00", `\ \.\'\@\;\(\)\"\\.`, true)
	f("other bytes", "\x04\x00\x1f\x7f\xff\x00", `\000\031\127\255.`, true)
	f("no end", "\x03abc", "abc.", false)
	f("label runs past the end", "\x03abc\x05x", "abc.", false)
	f("circle", "\x01a\xc0\x00", strings.Repeat("a.", 127), false)
	f("reserved", "\x01a\x40", "a.", false)
	long, text := strings.Repeat("\x3f"+strings.Repeat("a", 63), 3), strings.Repeat(strings.Repeat("a", 63)+".", 3)
	f("255 bytes", long+"\x3d"+strings.Repeat("a", 61)+"\x00", text+strings.Repeat("a", 61)+".", true)
	f("256 bytes", long+"\x3e"+strings.Repeat("a", 62)+"\x00", text, false)
}

func TestReadAllocatesNothing(t *testing.T) {
	msg := message(0x8180, 1, 1, 0, 1, question+record+opt)
	var s Summary
	buf := make([]byte, 0, 300)
	if n := testing.AllocsPerRun(1000, func() {
		Read(msg, false, &s)
		buf, _ = AppendName(buf[:0], msg, HeaderLen)
	}); n != 0 {
		t.Errorf("Read and AppendName allocate %v times, want 0", n)
	}
}

// FuzzRead: no panic; miekg/dns reads the same names; SkipName and AppendName agree
// with Read; the iterators over questions and answers go as far as the verdict says.
func FuzzRead(f *testing.F) {
	for _, msg := range [][]byte{
		message(0x0100, 1, 0, 0, 0, question), message(0x8180, 1, 1, 1, 1, question+record+record+opt),
		message(0, 1, 0, 0, 0, pointer(14)+pointer(12)), message(0, 1, 0, 0, 0, forward(126)),
		message(0, 1, 0, 0, 0, labels(255)+"\x00\x01\x00\x01"), message(0, 2, 0, 0, 0, question+question+"abc"),
	} {
		f.Add(msg, false)
		f.Add(msg[:len(msg)-3], true)
	}
	f.Fuzz(func(t *testing.T, msg []byte, cut bool) {
		var s Summary
		if !Read(msg, cut, &s) {
			if len(msg) >= HeaderLen {
				t.Fatal("a whole header was not read")
			}
			return
		}
		m := s.Malformed
		if m.Yes() != (m.Section != SectionNone) {
			t.Errorf("section %v with fault %v", m.Section, m.Fault)
		}
		name, good := AppendName(nil, msg, HeaderLen)
		if s.HasQuestion && !good {
			t.Errorf("Read accepts the question, AppendName stops after %q", name)
		}
		part, next, _ := SkipName(msg, HeaderLen)
		if whole := part == NameEnd || part == NamePointer; good && !whole || whole && next > len(msg) {
			t.Errorf("AppendName reads %q, %v; SkipName comes to part %d at %d of %d", name, good, part, next, len(msg))
		}
		if s.HasQuestion && (s.QType != binary.BigEndian.Uint16(msg[next:]) || s.QClass != binary.BigEndian.Uint16(msg[next+2:])) {
			t.Errorf("type %d and class %d are not at %d, where SkipName comes to", s.QType, s.QClass, next)
		}
		if good && s.QDCount > 0 && !s.HasQuestion && m.Fault != FaultRecord && m.Fault != FaultCaptureCut {
			t.Errorf("AppendName read %q, Read says %v", name, m.Fault)
		}
		sameName(t, msg, HeaderLen, string(name), good)
		if e := s.EDNS; e.Present && int(e.DataStart)+int(e.DataLen) > len(msg) {
			t.Errorf("options from %d, %d bytes, in a message of %d", e.DataStart, e.DataLen, len(msg))
		}
		questions, answers := entries(t, &s, msg)
		if whole := m.Section == SectionNone || m.Section > SectionQuestion; whole != (questions == int(s.QDCount)) {
			t.Errorf("%d of %d questions, verdict %v", questions, s.QDCount, m)
		}
		if whole := m.Section == SectionNone || m.Section > SectionAnswer; whole != (answers == int(s.ANCount)) && s.ANCount > 0 {
			t.Errorf("%d of %d answers, verdict %v", answers, s.ANCount, m)
		}
	})
}

// sameName compares a name with the one that miekg/dns reads.
func sameName(t *testing.T, msg []byte, off int, name string, good bool) {
	t.Helper()
	theirs, _, err := mdns.UnpackDomainName(msg, off)
	if err == nil != good {
		t.Errorf("%x: we read %q, %v; miekg/dns %q, %v", msg, name, good, theirs, err)
	}
	if good && theirs != name {
		t.Errorf("%x: we read %q, miekg/dns %q", msg, name, theirs)
	}
}

// entries counts what the iterators find, and checks that all of it lies in the
// message, in order and without overlap.
func entries(t *testing.T, s *Summary, msg []byte) (questions, answers int) {
	t.Helper()
	var q Question
	end := HeaderLen
	for list := s.QuestionsOf(msg); list.Next(&q); questions++ {
		if q.Name < end || q.Name+5 > len(msg) {
			t.Fatalf("question %d at %d of %d, the one before ends at %d", questions, q.Name, len(msg), end)
		}
		end = q.Name + 5
	}
	var r Record
	for list := s.AnswersOf(msg); list.Next(&r); answers++ {
		if r.Name < end || r.Data < r.Name+11 || r.End < r.Data || r.End > len(msg) {
			t.Fatalf("record %d at %d to %d of %d, the one before ends at %d", answers, r.Name, r.End, len(msg), end)
		}
		end = r.End
	}
	return questions, answers
}

func BenchmarkRead(b *testing.B) {
	f := func(name string, msg []byte) {
		b.Run(name, func(b *testing.B) {
			var s Summary
			b.ReportAllocs()
			for b.Loop() {
				Read(msg, false, &s)
			}
			if s.Malformed.Yes() {
				b.Fatal(s.Malformed)
			}
		})
	}
	f("message=query", message(0x0100, 1, 0, 0, 0, question))
	f("message=response", message(0x8180, 1, 1, 0, 1, question+record+opt))
}

func BenchmarkAppendName(b *testing.B) {
	msg := message(0x8180, 1, 1, 0, 0, question+"\x03www"+record)
	f := func(name string, off int) {
		b.Run("name="+name, func(b *testing.B) {
			var room [300]byte
			for b.Loop() {
				AppendName(room[:0], msg, off)
			}
		})
	}
	f("plain", HeaderLen)
	f("pointer", HeaderLen+len(question))
	f("only a pointer", HeaderLen+len(question)+4)

	b.Run("name=various", func(b *testing.B) { // as a processor meets them: it cannot guess their lengths
		random := rand.New(rand.NewPCG(1, 1))
		var list [4096][]byte
		for i := range list {
			name := ""
			for range 2 + random.IntN(4) {
				label := strings.Repeat("a", 1+random.IntN(12))
				name += string(rune(len(label))) + label
			}
			list[i] = message(0x0100, 1, 0, 0, 0, name+"\x00\x00\x01\x00\x01")
		}
		var room [300]byte
		for i := 0; b.Loop(); i++ {
			AppendName(room[:0], list[i%len(list)], HeaderLen)
		}
	})
}
