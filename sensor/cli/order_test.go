package cli

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// TestSmall: files that are read in order without an option.
func TestSmall(t *testing.T) {
	dir := t.TempDir()
	file := func(size int64) string {
		path := filepath.Join(dir, strconv.FormatInt(size, 10))
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		return path
	}
	f := func(want bool, paths ...string) {
		t.Helper()
		if got := small(paths); got != want {
			t.Errorf("%q: %t", paths, got)
		}
	}
	f(true, file(100))
	f(true, file(smallInput))
	f(false, file(smallInput+1))
	f(true, file(100), file(smallInput-100))
	f(false, file(101), file(smallInput-100))
	f(false, filepath.Join(dir, "no"))
	f(false, os.DevNull)
	f(false, dir)
}
