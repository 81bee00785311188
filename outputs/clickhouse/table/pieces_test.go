package table

import (
	"bytes"
	"strings"
	"testing"

	"dnsmonster-sensor/test/outputtest"
)

// TestPieces: a block whose columns are sent in pieces has the same bytes as its rows in
// small blocks, takes hardly more memory than its bytes, and allocates nothing when it comes
// again.
func TestPieces(t *testing.T) {
	const rows, each = 200_000, 20_000
	e := NewEncoder(planOf(t, dnsmonsterTable(), Options{Server: "sensor1"}))
	want := make(map[string][]byte)
	for i := 0; i < rows; i += each {
		for _, c := range e.Encode(outputtest.Queries(i, each), now)[0].Columns {
			want[c.Name] = append(want[c.Name], bytes.Join(c.Data, nil)...)
		}
	}
	e = NewEncoder(planOf(t, dnsmonsterTable(), Options{Server: "sensor1"}))
	block, sent, most := outputtest.Queries(0, rows), 0, 0
	for _, c := range e.Encode(block, now)[0].Columns {
		data := bytes.Join(c.Data, nil)
		sent, most = sent+len(data), max(most, len(c.Data))
		if !strings.HasPrefix(c.Type, "LowCardinality") && !bytes.Equal(data, want[c.Name]) {
			t.Errorf("%s in %d pieces: its bytes differ", c.Name, len(c.Data))
		}
	}
	if most < 3 {
		t.Fatalf("%d pieces, want some", most)
	}
	if limit := sent + len(e.plan.columns)*(2*pieceBytes); e.Memory() > limit {
		t.Errorf("%d bytes of memory for %d bytes, want %d at most", e.Memory(), sent, limit)
	}
	if n := testing.AllocsPerRun(3, func() { e.Encode(block, now) }); n != 0 {
		t.Errorf("%v allocations for the same block again", n)
	}
}
