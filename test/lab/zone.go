//go:build linux

package lab

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
)

// Zone is a synthetic example.org. It has the names h0 to h<Names-1> with A,
// AAAA and TXT records, a few that a site has (www, mail), mid (an answer of about 1000 bytes), big (about 2700
// bytes: truncated over UDP, or fragmented where the client allows it) and huge
// (about 60,000 bytes: for TCP).
type Zone struct {
	Names int // at least 1
}

// Query is one question of class IN.
type Query struct {
	Name string
	Type string // A, AAAA, TXT
}

func (z Zone) file() string {
	var b strings.Builder
	b.WriteString(`$ORIGIN example.org.
$TTL 300
@ SOA ns1 hostmaster 1 7200 3600 1209600 300
@ NS ns1
ns1 A 192.0.2.1
ns1 AAAA 2001:db8::1
@ MX 10 mail
@ TXT "v=spf1 mx -all"
www A 192.0.2.80
www AAAA 2001:db8::80
mail A 192.0.2.25
`)
	for i := range z.Names {
		fmt.Fprintf(&b, "h%d A 198.51.100.%d\n", i, i%256)
		fmt.Fprintf(&b, "h%d AAAA 2001:db8:1::%x:%x\n", i, i>>16, i&0xffff)
		fmt.Fprintf(&b, "h%d TXT \"host number %d of example.org\"\n", i, i)
	}
	text := strings.Repeat("text of many bytes ", 13) // 247
	for i := range 4 {
		fmt.Fprintf(&b, "mid TXT \"%d %s\"\n", i, text[:230])
	}
	for i := range 10 {
		fmt.Fprintf(&b, "big TXT \"%d %s\"\n", i, text)
	}
	for i := range 230 {
		fmt.Fprintf(&b, "huge TXT \"%d %s\"\n", i, text)
	}
	return b.String()
}

// Queries returns n queries for the zone, the same for the same seed: 55 % A,
// 25 % AAAA, 10 % TXT, 5 % names that do not exist, 4 % mid, 1 % big.
func (z Zone) Queries(n int, seed uint64) []Query {
	r := rand.New(rand.NewPCG(seed, 0))
	qs := make([]Query, n)
	for i := range qs {
		name := fmt.Sprintf("h%d.example.org", r.IntN(z.Names))
		switch p := r.IntN(100); {
		case p < 55:
			qs[i] = Query{name, "A"}
		case p < 80:
			qs[i] = Query{name, "AAAA"}
		case p < 90:
			qs[i] = Query{name, "TXT"}
		case p < 95:
			qs[i] = Query{fmt.Sprintf("nx%d.example.org", r.IntN(1e6)), "A"}
		case p < 99:
			qs[i] = Query{"mid.example.org", "TXT"}
		default:
			qs[i] = Query{"big.example.org", "TXT"}
		}
	}
	return qs
}

// Message returns the query in wire format, with id 0 and recursion desired. It
// panics on a type or a name that Query does not promise to hold.
func (q Query) Message() []byte {
	qtype := map[string]uint16{"A": 1, "TXT": 16, "AAAA": 28}[q.Type]
	if qtype == 0 {
		panic("lab: unknown query type " + q.Type)
	}
	m := []byte{0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq(strings.TrimSuffix(q.Name, "."), ".") {
		if len(label) == 0 || len(label) > 63 {
			panic("lab: bad name " + q.Name)
		}
		m = append(append(m, byte(len(label))), label...)
	}
	m = append(m, 0)
	m = binary.BigEndian.AppendUint16(m, qtype)
	return binary.BigEndian.AppendUint16(m, 1)
}

// Messages returns the queries in wire format.
func Messages(qs []Query) [][]byte {
	ms := make([][]byte, len(qs))
	for i, q := range qs {
		ms[i] = q.Message()
	}
	return ms
}
