package oserror

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"testing"
)

// TestRealErrors: what the system says when it really happens.
func TestRealErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := net.Listen("tcp", l.Addr().String()); !IsInUse(err) {
		t.Errorf("an address in use: %v", err)
	}
	if _, err := net.Listen("tcp", "192.0.2.1:0"); !IsForeignAddress(err) {
		t.Errorf("an address of another host: %v", err)
	}
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	if _, err := w.Write([]byte("x")); !IsReaderGone(err) || IsReset(err) {
		t.Errorf("a pipe without a reader: %v", err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write([]byte("x")); !IsUnwritable(err) {
		t.Errorf("a file that is open for reading: %v", err)
	}
}

// TestWrapped: an error is found wherever it is in the chain, and nothing else is.
func TestWrapped(t *testing.T) {
	for name, c := range map[string]struct {
		list []error
		is   func(error) bool
	}{
		"reset": {reset, IsReset}, "broken pipe": {brokenPipe, IsReaderGone}, "unreachable": {unreachable, IsUnreachable}, "in use": {inUse, IsInUse},
		"foreign": {foreignAddress, IsForeignAddress}, "denied": {denied, IsDenied}, "owner": {notOwner, IsNotOwner}, "full": {diskFull, IsDiskFull},
		"read only": {readOnly, IsReadOnly}, "not a folder": {notFolder, IsNotFolder}, "busy": {busy, IsBusy}, "unwritable": {unwritable, IsUnwritable}, "terminal": {terminalGone, IsTerminalGone},
	} {
		for _, e := range c.list {
			if !c.is(fmt.Errorf("write: %w", &fs.PathError{Op: "open", Path: "x", Err: e})) {
				t.Errorf("%s: %v is not found", name, e)
			}
		}
		if c.is(nil) || c.is(fs.ErrClosed) {
			t.Errorf("%s: found in another error", name)
		}
	}
}
