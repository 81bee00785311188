//go:build linux

package lab

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

func TestNeed(t *testing.T) {
	f := func(ci string, command string, wantSkip, wantFail bool) {
		t.Helper()
		t.Setenv("CI", ci)
		r := &recorder{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			Need(r, command)
		}()
		<-done
		if r.skipped != wantSkip || r.failed != wantFail {
			t.Errorf("CI=%q, %s: skipped %v, failed %v (%s)", ci, command, r.skipped, r.failed, r.reason)
		}
		if (wantSkip || wantFail) && !strings.Contains(r.reason, command) {
			t.Errorf("the reason does not name %s: %s", command, r.reason)
		}
	}
	f("", "sh", false, false)
	f("", "no-such-command", true, false)
	f("true", "no-such-command", false, true)
	f("true", "sh", false, false)
	f("", "/no/such/command", true, false)
	f("true", "/no/such/command", false, true)
}

type recorder struct {
	testing.TB
	skipped, failed bool
	reason          string
}

func (r *recorder) Helper() {}

func (r *recorder) Skip(args ...any) {
	r.skipped, r.reason = true, fmt.Sprint(args...)
	runtime.Goexit()
}

func (r *recorder) Fatal(args ...any) {
	r.failed, r.reason = true, fmt.Sprint(args...)
	runtime.Goexit()
}

// TestNeedTellsTheTruth: what a test asks for by Need, install-tools.sh installs,
// unless every Debian has it.
func TestNeedTellsTheTruth(t *testing.T) {
	const root = "../.."
	script, err := os.ReadFile(filepath.Join(root, "packaging/dev/install-tools.sh"))
	if err != nil {
		t.Fatal(err)
	}
	installed := map[string]bool{"bash": true, "gzip": true, "unshare": true, "setpriv": true} // essential packages
	for _, m := range regexp.MustCompile(`(?m)^(?:\w+,)*test\b\S* (\S+) \S+$|go(?:\.sh")? install \S+/(\w+)@`).FindAllStringSubmatch(string(script), -1) {
		installed[m[1]+m[2]] = true
	}
	roots := regexp.MustCompile(`Geteuid\(\) != 0 \{\n\s*(.*)`)
	calls := regexp.MustCompile(`\bNeed\(t, (".*")\)`)
	asked := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range roots.FindAllStringSubmatch(string(text), -1) {
			if strings.HasSuffix(path, "_test.go") && !strings.Contains(m[1], `Skip("needs root: `) {
				t.Errorf("%s: a test that only root can run says so with: needs root; not: %s", path, m[1])
			}
		}
		for _, m := range calls.FindAllStringSubmatch(string(text), -1) {
			for name := range strings.SplitSeq(m[1], ", ") {
				asked++
				if name = strings.Trim(name, `"`); !installed[name] {
					t.Errorf("%s needs %s, which install-tools.sh test does not install", path, name)
				}
			}
		}
		return nil
	})
	if err != nil || asked < 10 {
		t.Errorf("%d commands are asked for; error %v", asked, err)
	}
}
