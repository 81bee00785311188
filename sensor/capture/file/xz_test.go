package file

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ulikunitz/xz"
)

// xzFile compresses each piece into a stream of its own, with a dictionary of that size,
// in blocks of 100,000 bytes.
func xzFile(t testing.TB, dict int, pieces ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, content := range pieces {
		w, err := xz.WriterConfig{DictCap: dict, BlockSize: 100_000}.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// TestXZGuard: files of many blocks and streams pass, in reads of any size.
func TestXZGuard(t *testing.T) {
	noise := make([]byte, 250_000) // stored, not compressed
	x := uint32(1)
	for i := range noise {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	text := bytes.Repeat([]byte("a query for example.org, "), 20_000)
	file := xzFile(t, 1<<20, text, noise, nil, append(noise[:70_000:70_000], text...))
	file = append(file, make([]byte, 8)...) // padding
	file = append(file, xzFile(t, 1<<16, []byte("end"))...)
	want := append(append(append(append(bytes.Clone(text), noise...), noise[:70_000]...), text...), "end"...)
	for name, in := range map[string]func(io.Reader) io.Reader{
		"at once": func(r io.Reader) io.Reader { return r }, "halves": iotest.HalfReader, "bytes": iotest.OneByteReader,
	} {
		p, err := newPlainReader(io.NopCloser(in(bytes.NewReader(file))))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(p)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(want), err)
		}
		if passed, err := io.ReadAll(newXZGuard(in(bytes.NewReader(file)))); err != nil || !bytes.Equal(passed, file) {
			t.Errorf("%s: the guard passes %d bytes of %d, %v", name, len(passed), len(file), err)
		}
	}
}

// TestXZDictionaryIsBounded: a header that demands much memory does not get it, in the
// first stream or in a later one. The data before it is read.
func TestXZDictionaryIsBounded(t *testing.T) {
	good := xzFile(t, 1<<20, []byte("good"))
	bad := xzFile(t, 1<<20, []byte("bad"))
	at := 12 + 1 + 1 // in the block's header, after its length and flags
	if bad[at] != 0x21 {
		t.Fatalf("no filter at %d: % x", at, bad[:24])
	}
	bad[at+2] = 40 // 4 GiB; the checksum of the header is not checked before
	for _, file := range [][]byte{bad, append(good, bad...)} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p, err := newPlainReader(io.NopCloser(bytes.NewReader(file)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(p)
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(p.explain(err).Error(), "needs a dictionary of more than 128 MiB") {
			t.Errorf("%q, error %v, want that the dictionary is too large", got, err)
		}
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 64<<20 {
			t.Errorf("%d MiB allocated", allocated>>20)
		}
		if len(file) > len(bad) && string(got) != "good" {
			t.Errorf("before the bad stream %q was read", got)
		}
	}
}
