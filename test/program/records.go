//go:build linux

package program

import (
	"bufio"
	"bytes"
	"os"
	"testing"
)

// Counts are numbers of records by address family and kind.
type Counts struct{ Queries4, Responses4, Queries6, Responses6 uint64 }

func (c Counts) Total() uint64 { return c.Queries4 + c.Responses4 + c.Queries6 + c.Responses6 }

// Count counts the records in a file. A line that is no record fails the test.
func Count(t *testing.T, path string) (c Counts) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		b := s.Bytes()
		response := bytes.Contains(b, []byte(`"Response":true,`))
		v6 := bytes.Contains(b, []byte(`"IPVersion":6,`))
		switch {
		case !bytes.HasPrefix(b, []byte(`{"Timestamp":"`)) || !bytes.HasSuffix(b, []byte(`}`)):
			t.Fatalf("not a record: %s", b)
		case v6 && response:
			c.Responses6++
		case v6:
			c.Queries6++
		case response:
			c.Responses4++
		default:
			c.Queries4++
		}
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return c
}
