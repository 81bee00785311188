package table

import (
	"bytes"
	"maps"
	"strings"
	"testing"

	"dnsmonster-sensor/test/outputtest"
)

// TestPieces: a block whose columns are sent in pieces has the same bytes as its rows in
// small blocks, takes hardly more memory than its bytes, and has the same buffers when it
// comes again.
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
	buffers := func() map[*byte]bool {
		set := make(map[*byte]bool)
		for _, c := range e.Encode(block, now)[0].Columns {
			for _, piece := range c.Data {
				set[&piece[0]] = true
			}
		}
		return set
	}
	if second, third := buffers(), buffers(); !maps.Equal(second, third) {
		t.Error("the same block does not have the same buffers again")
	}
}
