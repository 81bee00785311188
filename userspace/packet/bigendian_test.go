package packet

import (
	"go/build"
	"testing"
)

// TestBigEndianIsRefused: on processors that the kernel program was not built for, the
// compiler says why, instead of that something in bpf is undefined.
func TestBigEndianIsRefused(t *testing.T) {
	for arch, refused := range map[string]bool{
		"s390x": true, "ppc64": true, "mips": true, "mips64": true,
		"amd64": false, "arm64": false, "arm": false, "386": false, "riscv64": false, "ppc64le": false, "mipsle": false, "mips64le": false, "loong64": false,
	} {
		c := build.Default
		c.GOARCH = arch
		if got, err := c.MatchFile(".", "bigendian.go"); err != nil || got != refused {
			t.Errorf("%s: refused %v, %v", arch, got, err)
		}
	}
}
