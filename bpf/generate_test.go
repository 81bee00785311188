//go:build linux

package bpf

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The compiler of the committed objects. Another version makes different ones.
const clangVersion = "14.0.6"

// The folders with BPF programs, and the names of the programs.
var programs = map[string]string{".": "sensor", "../test/bench/generator": "generator"}

// The committed objects and bindings are what the committed sources generate.
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
	for folder, name := range programs {
		c := exec.Command("go", "generate", ".")
		c.Dir = folder
		dir := t.TempDir()
		c.Env = append(os.Environ(), "BPF_OUTPUT_DIR="+dir)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("go generate in %s: %v: %s", folder, err, out)
		}
		for _, file := range []string{name + "_bpfel.o", name + "_bpfel.go"} {
			fresh, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			committed, err := os.ReadFile(filepath.Join(folder, file))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(fresh, committed) {
				t.Errorf("%s is not what its source generates: run make generate", filepath.Join(folder, file))
			}
		}
	}
}

func TestFormattedC(t *testing.T) {
	if _, err := exec.LookPath("clang-format"); err != nil {
		t.Skipf("no clang-format: %v", err)
	}
	files, _ := filepath.Glob("*.h")
	for folder, name := range programs {
		files = append(files, filepath.Join(folder, name+".bpf.c"))
	}
	if out, err := exec.Command("clang-format", append([]string{"--dry-run", "-Werror"}, files...)...).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
