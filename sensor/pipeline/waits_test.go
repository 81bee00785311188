package pipeline

import (
	"os"
	"path/filepath"
	"testing"

	"dnsmonster-sensor/outputs"
)

// TestSpoolToRead: the line about a spool that is read at the start says how much that is.
func TestSpoolToRead(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, nowhere{}.Name())
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"1.blocks", "2.blocks"} {
		if err := os.WriteFile(filepath.Join(folder, name), make([]byte, 700_000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := Output{nowhere{}, outputs.Settings{}}
	o.Settings.Spool.Dir = dir
	if got, want := spoolToRead(o), "the spool "+folder+" to be read: 2 MB"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
