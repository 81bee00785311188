package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dnsmonster-sensor/outputs/safefs"
	"dnsmonster-sensor/sensor/config"
)

// TestServiceFolders: for config check, a folder that the service alone can have is not an
// error; everything else is.
func TestServiceFolders(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it gives a folder to another user")
	}
	dir := t.TempDir()
	folder := filepath.Join(dir, "sensor")
	f := func(what string, wrong error, left bool) {
		t.Helper()
		if wrong == nil {
			t.Fatalf("%s is no error", what)
		}
		wrong = fmt.Errorf("fileoutputpath: %w (from x line 1)", wrong)
		errs, folders := exceptServiceFolders([]error{wrong, wrong}, []string{"/elsewhere", folder})
		if left != slices.Equal(folders, []string{folder}) || left != (errs == nil) {
			t.Errorf("%s: left to the service: %q; errors: %v", what, folders, errs)
		}
	}
	open := func(path string) error {
		d, err := safefs.Open(path, false)
		if err == nil {
			d.Close()
		}
		return err
	}
	f("a folder that is missing", open(folder), true)
	f("a folder below it that is missing", open(folder+"/below"), false)
	f("another folder that is missing", open(folder+"2"), false)
	if err := errors.Join(os.Mkdir(folder, 0o755), os.Chown(folder, 61184, 61184)); err != nil {
		t.Fatal(err)
	}
	f("a folder of another user", open(folder), true)
	if err := errors.Join(os.Mkdir(folder+"/below", 0o755), os.Chown(folder+"/below", 61184, 61184)); err != nil {
		t.Fatal(err)
	}
	f("a folder of another user below it", open(folder+"/below"), true)
	if err := os.Chmod(folder+"/below", 0o777); err != nil {
		t.Fatal(err)
	}
	f("the folder that holds it", &fs.PathError{Op: "open", Path: filepath.Join(dir, "private"), Err: fs.ErrPermission}, true)
	f("a folder that every user can write to", open(folder+"/below/a"), false)
}

// TestServiceFoldersAreTheUnits: the unit has systemd make these folders.
func TestServiceFoldersAreTheUnits(t *testing.T) {
	for _, want := range []string{"LogsDirectory=dnsmonster-sensor\n", "StateDirectory=dnsmonster-sensor\n", "RuntimeDirectory=dnsmonster-sensor\n"} {
		if !strings.Contains(config.SystemdService, want) {
			t.Errorf("the unit lacks %s", want)
		}
	}
	if want := []string{"/var/log/dnsmonster-sensor", "/var/lib/dnsmonster-sensor", "/run/dnsmonster-sensor"}; !slices.Equal(serviceFolders, want) {
		t.Errorf("service folders %q, want %q", serviceFolders, want)
	}
}

// TestConfigCheckOfAService: the file of a service that has not started yet is right.
func TestConfigCheckOfAService(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dnsmonster.ini")
	text := "[capture]\ndnstapsocket = unix:///run/dnsmonster-sensor/dnstap.sock\n[file_output]\nfileoutputtype = 1\nfileoutputpath = /var/log/dnsmonster-sensor\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, log bytes.Buffer
	if code := Main([]string{"x", "config", "check", path}, &out, &log); code != 0 {
		t.Errorf("exit status %d:\n%s%s", code, log.String(), out.String())
	}
}
