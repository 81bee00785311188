package dns

import (
	"testing"

	mdns "github.com/miekg/dns"
)

// TestNames: the names of all numbers are those of miekg/dns, with opcode DSO, which
// it does not know, and without class CS, which is obsolete.
func TestNames(t *testing.T) {
	for n := range 1 << 16 {
		if got, want := TypeName(uint16(n)), mdns.TypeToString[uint16(n)]; got != want {
			t.Errorf("type %d is %q, want %q", n, got, want)
		}
		want := mdns.ClassToString[uint16(n)]
		if n == mdns.ClassCSNET {
			want = ""
		}
		if got := ClassName(uint16(n)); got != want {
			t.Errorf("class %d is %q, want %q", n, got, want)
		}
		if got, want := RcodeName(uint16(n)), mdns.RcodeToString[n]; got != want {
			t.Errorf("response code %d is %q, want %q", n, got, want)
		}
	}
	for n := range 1 << 8 {
		want := mdns.OpcodeToString[n]
		if n == OpcodeDSO {
			want = "DSO"
		}
		if got := OpcodeName(uint8(n)); got != want {
			t.Errorf("opcode %d is %q, want %q", n, got, want)
		}
	}
}
