package dns

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	mdns "github.com/miekg/dns"
)

// accepts compares Accepted and Fits with miekg/dns, and returns whether the library
// accepts the message.
func accepts(t *testing.T, msg []byte) (accepted bool) {
	t.Helper()
	var s Summary
	if !Read(msg, false, &s) {
		return false
	}
	var m mdns.Msg
	accepted = m.Unpack(msg) == nil
	if got := s.Accepted(msg); got != accepted {
		t.Errorf("%x: accepted %t, miekg/dns says %t", msg, got, accepted)
	}
	if a, b := s.VerdictOf(msg), s.Verdict(s.AnswersOf(msg)); a != b {
		t.Errorf("%x: VerdictOf %v, Verdict %v", msg, a, b)
	}
	if v := s.Verdict(s.AnswersOf(msg)); accepted && v.Fault == FaultRData || !accepted && !v.Yes() {
		t.Errorf("%x: verdict %+v, miekg/dns accepts it: %t", msg, v, accepted)
	}
	return accepted
}

// randomData mixes the parts of lengths, names, addresses and options, so that much
// of it fits some type.
func randomData(r *rand.Rand) (b []byte) {
	for range 1 + r.IntN(5) {
		switch r.IntN(8) {
		case 7:
			b = append(b, "\x00\x01\x18\x03\xc0\x00\x02"...) // a prefix
		case 0:
			b = append(b, 0)
		case 1:
			b = append(b, pointer(12)...)
		case 2:
			b = append(b, 1, byte('a'+r.IntN(26)), 0)
		case 3:
			b = append(b, byte(r.IntN(4)))
		case 4:
			b = append(b, 0, byte(r.IntN(24)))
		case 5:
			n := r.IntN(5) * 4
			b = append(append(b, 0, byte(n)), bytes.Repeat([]byte{byte(r.IntN(3))}, n)...)
		default:
			for range 1 + r.IntN(20) {
				b = append(b, byte(r.Uint32()))
			}
		}
	}
	return b
}

// withData is a response that has a record with that data in one of its sections,
// before or after another record.
func withData(r *rand.Rand, rrtype uint16, data []byte) []byte {
	fixed := string(binary.BigEndian.AppendUint16(nil, rrtype)) + "\x00\x01\x00\x00\x00\x05" + string(binary.BigEndian.AppendUint16(nil, uint16(len(data))))
	made := "\xc0\x0c" + fixed + string(data)
	switch r.IntN(3) {
	case 0:
		return message(0x8180, 1, 2, 0, 0, question+made+record)
	case 1:
		return message(0x8180, 1, 1, 1, 0, question+record+made)
	}
	return message(0x8180, 1, 0, 0, 2, question+made+opt)
}

// TestAcceptedByType: data of every type, fitting and not, short and long.
func TestAcceptedByType(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	types := append(slices.Sorted(maps.Keys(mdns.TypeToRR)), 0, 65280)
	for _, rrtype := range types {
		yes := 0
		for range 800 {
			if accepts(t, withData(r, rrtype, randomData(r))) {
				yes++
			}
		}
		if t.Failed() {
			t.Fatalf("type %d", rrtype)
		}
		if _, known := FieldsOf(rrtype); known != (mdns.TypeToRR[rrtype] != nil) {
			t.Errorf("type %d: known %t, to miekg/dns %t", rrtype, known, !known)
		}
		if yes == 0 && rrtype != mdns.TypeANY && rrtype != mdns.TypeNXNAME { // they have no data
			t.Errorf("type %d: miekg/dns accepts none of the data", rrtype)
		}
	}
}

// TestAcceptedPairs: each EDNS option and SVCB parameter, with data of each
// length.
func TestAcceptedPairs(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for code := range uint16(24) {
		for n := range 40 {
			for range 6 {
				data := make([]byte, n)
				for i := range data {
					data[i] = byte(r.IntN(4)) << (r.IntN(2) * 5)
				}
				pair := append(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, code), uint16(n)), data...)
				accepts(t, withData(r, TypeOPT, pair))
				accepts(t, withData(r, mdns.TypeSVCB, append([]byte{0, 1, 0}, pair...)))
				accepts(t, withData(r, mdns.TypeHTTPS, append(append([]byte{0, 1, 0}, pair...), 0, byte(code+1), 0, 0)))
			}
		}
	}
}

// TestAcceptedDamage: whole messages, cut at each byte, padded, and with bytes
// changed, counts among them.
func TestAcceptedDamage(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	yes, no := 0, 0
	for _, seed := range [][]byte{
		message(0x0100, 1, 0, 0, 0, question), message(0x8180, 1, 1, 1, 2, question+record+record+opt+record),
		message(0x8180, 2, 1, 0, 0, question+question+record), message(0, 1, 0, 0, 0, forward(126)), message(0x8000, 0, 1, 0, 0, "\x00"+record[2:]),
	} {
		for n := HeaderLen; n <= len(seed); n++ {
			accepts(t, seed[:n])
			accepts(t, append(bytes.Clone(seed), make([]byte, n)...))
		}
		for range 20000 {
			msg := bytes.Clone(seed)
			for range 1 + r.IntN(4) {
				i := r.IntN(len(msg))
				msg[i] = []byte{byte(r.Uint32()), 0, 1, 2, 0xc0, 12, msg[i] + 1}[r.IntN(7)]
			}
			if accepts(t, msg[:len(msg)-r.IntN(3)*r.IntN(6)]) {
				yes++
			} else {
				no++
			}
		}
	}
	if yes < 5000 || no < 5000 {
		t.Errorf("%d accepted, %d refused: want 5000 of each", yes, no)
	}
}

// TestVerdict: the first fault is reported even if others follow; data are judged up
// to the first record that is not whole.
func TestVerdict(t *testing.T) {
	f := func(name string, msg []byte, want Malformed) {
		t.Helper()
		var s Summary
		Read(msg, false, &s)
		if got := s.Verdict(s.AnswersOf(msg)); got != want {
			t.Errorf("%s: %v %v %d, want %v %v %d", name, got.Section, got.Fault, got.Index, want.Section, want.Fault, want.Index)
		}
		var answers []Record
		var r Record
		for records := s.AnswersOf(msg); records.Next(&r); {
			answers = append(answers, r)
		}
		if list, got := s.ReadAnswers(msg, []Record{{}}); got != want || !slices.Equal(list[1:], answers) {
			t.Errorf("%s, in one pass: %v, %v %v %d, want %v, %v %v %d", name, list[1:], got.Section, got.Fault, got.Index, answers, want.Section, want.Fault, want.Index)
		}
	}
	five := record[:11] + "\x05\xc0\x00\x02\x01\x00" // an address of five bytes
	subnet := opt[:9] + "\x00\x0b\x00\x08\x00\x07\x00\x01\x21\x00\xc0\x00\x02"
	f("good", message(0x8180, 1, 1, 0, 1, question+record+opt), Malformed{})
	f("no records", message(0x0100, 1, 0, 0, 0, question), Malformed{})
	f("an answer", message(0x8180, 1, 2, 0, 1, question+record+five+opt), Malformed{SectionAnswer, FaultRData, 1})
	f("authority", message(0x8180, 1, 1, 1, 1, question+record+five+subnet), Malformed{SectionAuthority, FaultRData, 0})
	f("OPT", message(0x8180, 1, 1, 0, 2, question+record+opt+subnet), Malformed{SectionAdditional, FaultRData, 1})
	f("before trailing bytes", message(0x8180, 1, 1, 0, 0, question+five+"\x00"), Malformed{SectionAnswer, FaultRData, 0})
	f("before a cut record", message(0x8180, 1, 2, 0, 0, question+five+record[:13]), Malformed{SectionAnswer, FaultRData, 0})
	f("after one that is cut", message(0x8180, 1, 1, 0, 1, question+record[:13]), Malformed{SectionAnswer, FaultRecord, 0})
	f("authority after an answer, with OPT", message(0x8180, 1, 1, 1, 1, question+record+five+opt), Malformed{SectionAuthority, FaultRData, 0})
	f("a cut question", message(0x8180, 2, 1, 0, 0, question+example), Malformed{SectionQuestion, FaultRecord, 1})
}

func TestVerdictAllocatesNothing(t *testing.T) {
	msg := message(0x8180, 1, 1, 1, 1, question+record+record+opt)
	var s Summary
	Read(msg, false, &s)
	var room [4]Record
	if n := testing.AllocsPerRun(100, func() { s.Verdict(s.AnswersOf(msg)); s.ReadAnswers(msg, room[:0]); s.Accepted(msg) }); n != 0 {
		t.Errorf("Verdict and Accepted allocate %v times, want 0", n)
	}
}
