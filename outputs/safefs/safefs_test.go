//go:build linux

package safefs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const stranger = 65534 // neither root nor this user

// giveTo makes another user the owner of a file, or of the link itself.
func giveTo(t *testing.T, path string, uid int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: only root can make files of other users")
	}
	if err := os.Lchown(path, uid, uid); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string, mode fs.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func wantContent(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); string(got) != want || err != nil {
		t.Errorf("%s holds %q, %v; want %q", path, got, err, want)
	}
}

func link(t *testing.T, to, at string) {
	t.Helper()
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
}

// Which folders are accepted, with and without force.
func TestOpen(t *testing.T) {
	base := t.TempDir()
	plain := mkdir(t, base+"/plain", 0o755)
	mkdir(t, base+"/plain/below", 0o755)
	mkdir(t, base+"/group", 0o775)
	mkdir(t, base+"/sticky", 0o777|fs.ModeSticky)
	mkdir(t, base+"/open", 0o777)
	mkdir(t, base+"/open/below", 0o755)
	writeFile(t, base+"/file", "")
	link(t, "plain", base+"/relative")
	link(t, plain, base+"/absolute")
	link(t, "../open/below", base+"/plain/through")
	link(t, "loop", base+"/loop")
	f := func(name, refused, forced string) {
		t.Helper()
		for force, want := range map[bool]string{false: refused, true: forced} {
			d, err := Open(filepath.Join(base, name), force)
			switch {
			case err == nil:
				d.Close()
				if want != "" {
					t.Errorf("%s, force %v: it is open, want %q", name, force, want)
				}
			case want == "" || !strings.Contains(err.Error(), want):
				t.Errorf("%s, force %v: error %v, want %q", name, force, err, want)
			}
		}
	}
	f("plain", "", "")
	f("plain/../plain/./below/", "", "")
	f("group", "", "")
	f("sticky", "", "")
	f("relative/below", "", "")
	f("absolute/below", "", "")
	f("open", "/open can be written to by every user, and has no sticky bit", "")
	f("open/below", "/open can be written to by every user", "")
	f("plain/through", "/open can be written to by every user", "")
	f("file", "not a directory", "not a directory")
	f("file/below", "not a directory", "not a directory")
	f("missing", "no such file or directory", "no such file or directory")
	f("loop", "too many levels of symbolic links", "too many levels of symbolic links")
}

// Folders that other users own are accepted with force; their links are never followed.
func TestOpenOtherUsers(t *testing.T) {
	base := t.TempDir()
	giveTo(t, mkdir(t, base+"/theirs", 0o755), stranger)
	mkdir(t, base+"/theirs/ours", 0o755)
	mkdir(t, base+"/sticky", 0o777|fs.ModeSticky)
	mkdir(t, base+"/target", 0o755)
	link(t, "../target", base+"/sticky/planted")
	giveTo(t, base+"/sticky/planted", stranger)
	link(t, "../target", base+"/sticky/made")
	f := func(name string, force bool, want string) {
		t.Helper()
		d, err := Open(filepath.Join(base, name), force)
		if err == nil {
			d.Close()
		}
		if (want == "") != (err == nil) || err != nil && (!strings.Contains(err.Error(), want) || !errors.Is(err, ErrUnsafe)) {
			t.Errorf("%s, force %v: error %v, want %q", name, force, err, want)
		}
	}
	f("theirs", false, "belongs to user 65534")
	f("theirs", true, "")
	f("theirs/ours", false, "")
	f("sticky/planted", false, "is a symbolic link of user 65534")
	f("sticky/planted", true, "is a symbolic link of user 65534")
	f("sticky/made", false, "")
}

// Only a regular file with one name is opened; nothing happens to others, nor to what they
// lead to.
func TestOpenFile(t *testing.T) {
	base := t.TempDir()
	dir := mkdir(t, base+"/dir", 0o775)
	victim := writeFile(t, base+"/victim", "keep")
	writeFile(t, dir+"/own", "old")
	link(t, "../victim", dir+"/link")
	link(t, "../new", dir+"/dangling")
	mkdir(t, dir+"/folder", 0o755)
	if err := os.Link(victim, dir+"/second"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Open(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for name, want := range map[string]string{
		"link": "is a symbolic link", "dangling": "is a symbolic link", "folder": "is not a regular file", "second": "has a second name", "fifo": "is not a regular file",
	} {
		for _, flag := range []int{os.O_RDONLY, os.O_RDWR | os.O_APPEND, os.O_WRONLY | os.O_CREATE | os.O_TRUNC} {
			f, err := d.OpenFile(name, flag, 0o600)
			if !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s, flags %x: error %v, want %q", name, flag, err, want)
			}
			f.Close()
		}
		if _, err := d.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s, to be made: error %v", name, err)
		}
	}
	wantContent(t, victim, "keep")
	if _, err := os.Stat(base + "/new"); err == nil {
		t.Error("a file was created at a link's target")
	}
	f, err := d.OpenFile("own", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	wantContent(t, dir+"/own", "")
	if !d.IsFile(f, "own") {
		t.Error("IsFile does not recognize the file")
	}
	if err := d.Rename("own", "moved"); err != nil || d.IsFile(f, "own") || !d.IsFile(f, "moved") {
		t.Errorf("rename: %v", err)
	}
	if err := d.Remove("link"); err != nil {
		t.Error(err)
	}
	wantContent(t, victim, "keep")
}

// A second name that only root or this user can have created is a backup's (cp -al), and no
// reason to refuse the file.
func TestSecondNameInPrivateFolder(t *testing.T) {
	dir := mkdir(t, t.TempDir()+"/dir", 0o755)
	writeFile(t, dir+"/own", "records")
	if err := os.Link(dir+"/own", dir+"/backup"); err != nil {
		t.Fatal(err)
	}
	for mode, refused := range map[fs.FileMode]bool{0o700: false, 0o755: false, 0o775: true, 0o777 | fs.ModeSticky: true} {
		mkdir(t, dir, mode)
		d, err := Open(dir, false)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := d.ReadFile("own"); errors.Is(err, ErrUnsafe) != refused || !refused && string(text) != "records" {
			t.Errorf("mode %s: read %q, %v", mode, text, err)
		}
		d.Close()
	}
}

// A file that another user has put into a folder that every user can write to.
func TestOpenPlantedFile(t *testing.T) {
	dir := mkdir(t, t.TempDir()+"/sticky", 0o777|fs.ModeSticky)
	giveTo(t, writeFile(t, dir+"/planted", "theirs"), stranger)
	for _, force := range []bool{false, true} {
		d, err := Open(dir, force)
		if err != nil {
			t.Fatal(err)
		}
		f, err := d.OpenFile("planted", os.O_RDWR|os.O_CREATE, 0o600)
		if (err == nil) != force || err != nil && !strings.Contains(err.Error(), "belongs to user 65534: remove it, or give it to the sensor's user with chown, or use --force") {
			t.Errorf("force %v: %v", force, err)
		}
		f.Close()
		d.Close()
	}
}

// Make creates missing folders, and Sub one folder; neither follows a link.
func TestMake(t *testing.T) {
	base := t.TempDir()
	d, err := Make(base+"/a/b/c", 0o700, false)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if st, err := os.Stat(base + "/a/b"); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", st, err)
	}
	for range 2 {
		sub, err := d.Sub("sub", 0o700)
		if err != nil {
			t.Fatal(err)
		}
		if err := sub.SetMode(0o750); err != nil {
			t.Error(err)
		}
		sub.Close()
	}
	if st, err := os.Stat(base + "/a/b/c/sub"); err != nil || st.Mode().Perm() != 0o750 {
		t.Errorf("%v, %v", st, err)
	}
	link(t, base, base+"/a/b/c/link")
	if _, err := d.Sub("link", 0o700); !errors.Is(err, ErrUnsafe) {
		t.Errorf("a link: error %v", err)
	}
	if current, err := d.IsCurrent(); !current || err != nil {
		t.Errorf("IsCurrent does not recognize the folder: %v", err)
	}
	if err := os.Rename(base+"/a/b", base+"/a/x"); err != nil {
		t.Fatal(err)
	}
	if current, err := d.IsCurrent(); current || err != nil {
		t.Errorf("IsCurrent does not notice that the folder was moved: %v", err)
	}
	if _, err := Make("/proc/no", 0o700, false); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "mkdir /proc/no: ") {
		t.Errorf("error %v", err)
	}
}

// Replace leaves either the old file or the new one, and nothing else.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := writeFile(t, dir+"/file", "old")
	half := errors.New("the disk is full")
	err := Replace(path, 0o640, false, func(w io.Writer) error {
		io.WriteString(w, "ne")
		return half
	})
	if !errors.Is(err, half) {
		t.Errorf("error %v", err)
	}
	wantContent(t, path, "old")
	write := func(w io.Writer) error { _, err := io.WriteString(w, "new"); return err }
	if err := Replace(path, 0o640, false, write); err != nil {
		t.Error(err)
	}
	wantContent(t, path, "new")
	if st, err := os.Stat(path); err != nil || st.Mode() != 0o640 {
		t.Errorf("%v, %v", st, err)
	}
	victim := writeFile(t, t.TempDir()+"/victim", "keep")
	link(t, victim, dir+"/link")
	if err := Replace(dir+"/link", 0o640, true, write); !errors.Is(err, ErrUnsafe) {
		t.Errorf("a link: error %v", err)
	}
	if _, err := Create(dir+"/link", 0o600, true); !errors.Is(err, ErrUnsafe) {
		t.Errorf("a link: error %v", err)
	}
	wantContent(t, victim, "keep")
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// Create truncates an existing file and sets its mode.
func TestCreate(t *testing.T) {
	path := writeFile(t, t.TempDir()+"/file", "old")
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	f, err := Create(path, 0o600, false)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if st, err := os.Stat(path); err != nil || st.Mode() != 0o600 || st.Size() != 0 {
		t.Errorf("%v, %v", st, err)
	}
}

// Somebody who creates links and files in the folder as fast as possible gets nothing
// written elsewhere.
func TestRace(t *testing.T) {
	base := t.TempDir()
	dir := mkdir(t, base+"/dir", 0o755)
	victim := writeFile(t, base+"/victim", "keep")
	d, err := Open(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); {
			os.Symlink(victim, dir+"/swap")
			os.Rename(dir+"/swap", dir+"/file")
			os.Remove(dir + "/file")
			os.WriteFile(dir+"/file", nil, 0o600)
		}
	}()
	opened := 0
	for {
		f, err := d.OpenFile("file", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err == nil {
			f.WriteString("mine")
			f.Close()
			opened++
		}
		select {
		case <-done:
			wantContent(t, victim, "keep")
			if opened == 0 {
				t.Error("no file was ever opened")
			}
			return
		default:
		}
	}
}

func TestReadDir(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b", "c", "a"} {
		writeFile(t, filepath.Join(dir, name), name)
	}
	d, err := Open(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for range 2 {
		entries, err := d.ReadDir()
		if err != nil {
			t.Fatal(err)
		}
		var names bytes.Buffer
		for _, e := range entries {
			text, err := d.ReadFile(e.Name())
			if err != nil {
				t.Error(err)
			}
			names.Write(text)
		}
		if names.String() != "abc" {
			t.Errorf("read %q", names.String())
		}
	}
}
