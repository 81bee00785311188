package bpf

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The compiler that made the committed object. Another one makes another object.
const clangVersion = "14.0.6"

// The committed object and bindings are those of the committed source.
func TestGeneratedIsFresh(t *testing.T) {
	version, err := exec.Command("clang", "--version").Output()
	if err != nil {
		t.Skipf("no clang: %v", err)
	}
	first, _, _ := strings.Cut(string(version), "\n")
	if !strings.Contains(first, clangVersion) {
		t.Skipf("%s, not %s", first, clangVersion)
	}
	if _, err := exec.LookPath("llvm-strip"); err != nil {
		t.Skipf("no llvm-strip: %v", err)
	}
	if _, err := os.Stat("/usr/include/bpf/bpf_helpers.h"); err != nil {
		t.Skipf("no libbpf headers: %v", err)
	}
	c := exec.Command("go", "generate", ".")
	dir := t.TempDir()
	c.Env = append(os.Environ(), "BPF_OUTPUT_DIR="+dir)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("go generate: %v: %s", err, out)
	}
	for _, name := range []string{"sensor_bpfel.o", "sensor_bpfel.go"} {
		fresh, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		committed, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(fresh, committed) {
			t.Errorf("%s is not what the source gives: run go generate ./bpf", name)
		}
	}
}

func TestFormattedC(t *testing.T) {
	if _, err := exec.LookPath("clang-format"); err != nil {
		t.Skipf("no clang-format: %v", err)
	}
	files, _ := filepath.Glob("*.h")
	files = append(files, "sensor.bpf.c")
	if out, err := exec.Command("clang-format", append([]string{"--dry-run", "-Werror"}, files...)...).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
