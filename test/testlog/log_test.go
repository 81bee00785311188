package testlog

import "testing"

func TestLog(t *testing.T) {
	var l Log
	l.Write([]byte("level=WARN output=psql\nlevel=WARN output=file\n"))
	if l.Count("level=WARN") != 2 || l.Lines("level=WARN", "psql") != 1 || l.Lines("psql", "file") != 0 {
		t.Errorf("counts of %q are wrong: %d, %d, %d", l.String(), l.Count("level=WARN"), l.Lines("level=WARN", "psql"), l.Lines("psql", "file"))
	}
}
