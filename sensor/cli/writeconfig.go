package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"dnsmonster-sensor/outputs/oserror"
	"dnsmonster-sensor/outputs/printable"
	"dnsmonster-sensor/outputs/safefs"
	"dnsmonster-sensor/sensor/config"
)

// writeConfig writes a configuration file, and says what it left out. An existing
// file is replaced as a whole, or stays as it is.
func writeConfig(path string, v *config.Values, known []config.Option, stdout, log io.Writer) error {
	ignoreSizeSignal()
	secrets := v.Is("writesecrets")
	var text bytes.Buffer
	leftOut, err := config.WriteINI(&text, v, secrets)
	if err != nil {
		return err
	}
	where := path
	if write := stream(path, stdout); write != nil {
		if err = write(text.Bytes()); path == "-" {
			where = "the configuration to the standard output"
		}
	} else {
		t := target{path: path, known: known, force: v.Is("force")}
		if err := t.check(secrets, leftOut); err != nil {
			return usageError("--writeconfig: %w", err)
		}
		err = t.replace(text.Bytes())
	}
	switch {
	case oserror.IsBusy(err):
		return usageError("--writeconfig: %s is mounted by itself and cannot be replaced: mount its folder, or use --writeconfig=- with a redirection", path)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, safefs.ErrUnsafe):
		return usageError("--writeconfig: %w", err)
	case err != nil:
		return &exitError{exitFailure, fmt.Errorf("--writeconfig: %w", err)}
	}
	for _, w := range config.Advice(v) {
		fmt.Fprintln(log, "warning:", printable.OneLine(w))
	}
	fmt.Fprintf(log, "wrote %s\n", where)
	if len(leftOut) > 0 {
		fmt.Fprintf(log, "left out, since they are secret: %s; --writesecrets writes them too\n", strings.Join(leftOut, ", "))
	}
	return nil
}

// stream returns how to write to the standard output, a pipe or a terminal, which cannot
// be replaced. It returns nil for any other path.
func stream(path string, stdout io.Writer) func([]byte) error {
	if path == "-" || path == "/dev/stdout" {
		return func(text []byte) error { _, err := stdout.Write(text); return err }
	}
	// These links belong to the process, and lead to its open files.
	look := os.Lstat
	if strings.HasPrefix(path, "/dev/fd/") || strings.HasPrefix(path, "/proc/self/fd/") || path == "/dev/stderr" {
		look = os.Stat
	}
	st, err := look(path)
	if err != nil || st.Mode()&(fs.ModeNamedPipe|fs.ModeCharDevice) == 0 {
		return nil
	}
	return func(text []byte) error {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.Write(text)
			err = errors.Join(err, f.Close())
		}
		return err
	}
}

// target is a file to be replaced.
type target struct {
	path  string
	known []config.Option
	force bool // replace it whatever it holds
	old   fs.FileInfo
	mode  fs.FileMode
}

// check returns why the file must not be replaced.
func (t *target) check(secrets bool, leftOut []string) error {
	t.mode = 0o644
	if secrets {
		t.mode = 0o600
	}
	st, err := os.Lstat(t.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return checkFolder(t.path)
	case err != nil:
		return err
	case st.Mode()&fs.ModeSymlink != 0:
		to, err := filepath.EvalSymlinks(t.path)
		if err != nil {
			return fmt.Errorf("%s is a symbolic link that leads nowhere: name the file itself", t.path)
		}
		return fmt.Errorf("%s is a symbolic link: name the file itself: %s", t.path, to)
	case !st.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file: name another one", t.path)
	}
	t.old = st
	if !secrets || st.Mode()&0o007 == 0 { // a mode that excludes others stays
		t.mode = st.Mode().Perm()
	}
	if t.force {
		return nil
	}
	content, err := readStart(t.path)
	if err != nil {
		return err
	}
	if !config.LooksLikeConfig(content, t.known) {
		return fmt.Errorf("%s exists and is not a configuration: name another file, or use --force to replace it", t.path)
	}
	if lost := config.SetKeys(content, leftOut); lost != nil {
		return fmt.Errorf("%s holds %s, which would be lost: keep secrets with --writesecrets, or drop them with --force", t.path, strings.Join(lost, ", "))
	}
	return nil
}

// checkFolder returns an error about path, which the user has named, if its folder
// does not exist.
func checkFolder(path string) error {
	if _, err := os.Stat(filepath.Dir(path)); errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: "open", Path: path, Err: syscall.ENOENT}
	}
	return nil
}

// readStart reads a file up to the size that a configuration can have.
func readStart(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 4<<20))
}

// replace leaves either the old file or the new one, complete, whatever happens. The
// owner of the folder does not matter: nothing in it is followed or trusted, and the
// file is new.
func (t *target) replace(text []byte) error {
	return safefs.Replace(t.path, t.mode, true, func(w io.Writer) error {
		if f, ok := w.(*os.File); ok && t.old != nil {
			if err := keepOwner(f, t.old); err != nil {
				return err
			}
		}
		_, err := w.Write(text)
		return err
	})
}
