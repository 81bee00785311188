package event

import (
	"bytes"
	"testing"
)

func TestFields(t *testing.T) {
	long := bytes.Repeat([]byte{7}, 100_000)
	var f Fields
	f = AppendField(f, 64, []byte("one"))
	f = AppendField(f, 0xffff, nil)
	f = AppendField(f, 70, long)
	f = AppendField(f, 64, []byte("again"))
	get := func(typ FieldType, want []byte, there bool) {
		t.Helper()
		if got, ok := f.Get(typ); ok != there || !bytes.Equal(got, want) {
			t.Errorf("field %d: %d bytes, found %v, want %d, %v", typ, len(got), ok, len(want), there)
		}
	}
	get(64, []byte("one"), true)
	get(70, long, true)
	get(0xffff, nil, true)
	get(65, nil, false)
	var types []FieldType
	for typ := range f.All() {
		types = append(types, typ)
	}
	if want := []FieldType{64, 0xffff, 70, 64}; len(types) != 4 || types[0] != want[0] || types[1] != want[1] || types[2] != want[2] || types[3] != want[3] {
		t.Errorf("types %v, want %v", types, want)
	}
	if n := testing.AllocsPerRun(100, func() {
		f.Get(65)
		for range f.All() {
		}
	}); n != 0 {
		t.Errorf("reading allocates %v times, want 0", n)
	}
}

// TestTornFields: reading ends before a field that is not whole.
func TestTornFields(t *testing.T) {
	whole := AppendField(AppendField(nil, 64, []byte("one")), 65, []byte("two"))
	for n := range len(whole) {
		got := 0
		for range whole[:n].All() {
			got++
		}
		want := n / (fieldHeaderLen + 3)
		if _, ok := whole[:n].Get(65); got != want || ok {
			t.Errorf("%d bytes: %d fields, want %d; the second is found: %v", n, got, want, ok)
		}
	}
	huge := Fields("\x40\x00\xff\xff\xff\xffabc")
	if _, ok := huge.Get(64); ok {
		t.Error("a field that claims more bytes than there are is found")
	}
}

func TestMembersAreNoFields(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("AppendField accepts the type of a member of Event")
		}
	}()
	AppendField(nil, FirstField-1, nil)
}
