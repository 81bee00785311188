//go:build linux

package main

import (
	"bufio"
	"bytes"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestSourceLines(t *testing.T) {
	uris := `'http://mirror.example.org/debian/dists/bookworm/InRelease' mirror_debian_InRelease 0 
'http://mirror.example.org/debian/dists/bookworm/main/binary-amd64/Packages.xz' Packages 0 
'http://mirror.example.org/debian/dists/bookworm-updates/InRelease' x 0 
'http://mirror.example.org/debian-security/dists/bookworm-security/InRelease' x 0 
'https://vendor.example.org/apt/dists/vendor-bookworm/InRelease' x 0 
'https://vendor.example.org/linux/debian/dists/bookworm/InRelease' x 0 
`
	f := func(uris, suite, keyring string, want ...string) {
		t.Helper()
		if got := sourceLines(uris, suite, keyring); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", suite, got, want)
		}
	}
	f(uris, "bullseye", "",
		"deb [arch=amd64 lang=none target=Packages] http://mirror.example.org/debian bullseye main",
		"deb [arch=amd64 lang=none target=Packages] https://vendor.example.org/linux/debian bullseye main")
	f(uris, "bullseye-security", "/keys",
		"deb [arch=amd64 lang=none target=Packages signed-by=/keys] http://mirror.example.org/debian-security bullseye-security main")
	f("'http://mirror.example.org/ubuntu/dists/jammy/InRelease' x 0", "bullseye", "")
	f("", "bullseye", "")
}

func TestSelectKernels(t *testing.T) {
	f := func(list string, want ...string) {
		t.Helper()
		var got []string
		ks, err := selectKernels(list)
		for _, k := range ks {
			got = append(got, k.version)
		}
		if !slices.Equal(got, want) || (err != nil) != (want == nil) {
			t.Errorf("selectKernels(%q) = %v, %v", list, got, err)
		}
	}
	f("", "5.10", "6.1", "6.12")
	f("6.12,5.10", "6.12", "5.10")
	f("4.19")
}

func TestNewest(t *testing.T) {
	if _, err := exec.LookPath("dpkg"); err != nil {
		t.Skip("no dpkg, which compares the versions")
	}
	versions := map[string]string{"a": "6.1.9-1", "b": "6.1.10-1", "c": "6.1.10-1~deb12u1", "d": ""}
	lines := []string{"a - Linux", "b - Linux", "c - Linux", "d - gone", ""}
	if got := newest(lines, func(name string) string { return versions[name] }); got != "b" {
		t.Errorf("newest is %q, want b", got)
	}
}

func TestReport(t *testing.T) {
	jobs := []job{{Name: "./a"}, {Name: "./b"}}
	f := func(ok bool, summary string, lines ...string) {
		t.Helper()
		var r report
		for _, l := range lines {
			r.line(stripEscapes(l))
		}
		if r.ok(jobs) != ok || r.summary(jobs) != summary {
			t.Errorf("ok %v, %q; want %v, %q", r.ok(jobs), r.summary(jobs), ok, summary)
		}
	}
	f(true, "2 passed, skipped: TestC",
		"--- PASS: TestA (0.00s)\r", "    --- PASS: TestA/sub (0.00s)\r", "--- PASS: TestB (0.00s)", "--- SKIP: TestC (0.00s)", "## end ./a 0", "## end ./b 0\r")
	f(false, "0 passed, failed: TestA/sub TestA, ./a exited with 1",
		"    --- FAIL: TestA/sub (0.00s)", "--- FAIL: TestA (0.00s)", "## end ./a 1", "## end ./b 0")
	f(false, "1 passed, ./b did not end", "--- PASS: TestA (0.00s)", "## end ./a 0", "[    3.1] Kernel panic - not syncing")
	f(false, "1 passed, ./a exited with -1", "--- PASS: TestA (0.00s)", "## end ./a -1", "## end ./b 0")
	f(false, "0 passed, missing modules: veth", "## missing modules: veth", "## end ./a 0", "## end ./b 0")
	f(true, "1 passed", "\x1bc\x1b[?7l\x1b[2J--- PASS: TestA (0.00s)", "## end ./a 0", "## end ./b 0")
}

// TestCPIO compares with the kernel's documentation of the format
// (driver-api/early-userspace/buffer-format).
func TestCPIO(t *testing.T) {
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	err := writeCPIO(w, []file{
		{path: "/a/b/c", data: []byte("hello"), mode: 0o644},
		{path: "/a/init", data: nil, mode: 0o755},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Flush()
	want := []string{"a 40755 ", "a/b 40755 ", "a/b/c 100644 hello", "a/init 100755 ", "TRAILER!!! 0 "}
	if got := readCPIO(t, b.Bytes()); !slices.Equal(got, want) {
		t.Errorf("archive holds %q, want %q", got, want)
	}
}

func readCPIO(t *testing.T, b []byte) []string {
	t.Helper()
	var entries []string
	for len(b) > 0 {
		var f [13]int
		if string(b[:6]) != "070701" {
			t.Fatalf("magic %q", b[:6])
		}
		for i := range f {
			for _, c := range b[6+8*i : 14+8*i] {
				f[i] = f[i]<<4 | strings.IndexByte("0123456789abcdef", c)
			}
		}
		mode, size, nameLen := f[1], f[6], f[11]
		name := string(b[110 : 110+nameLen-1])
		data := (110 + nameLen + 3) &^ 3
		entries = append(entries, strings.Join([]string{name, strconv.FormatInt(int64(mode), 8), string(b[data : data+size])}, " "))
		b = b[(data+size+3)&^3:]
	}
	return entries
}

func TestCommandFiles(t *testing.T) {
	files, err := commandFiles()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, f := range files {
		if seen[f.path] {
			t.Errorf("%s is listed twice", f.path)
		}
		seen[f.path] = true
	}
}
