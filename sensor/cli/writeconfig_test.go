//go:build linux

package cli

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// writes runs --writeconfig in this process.
func writes(path string, args ...string) (stdout, log string, err error) {
	var out, errs bytes.Buffer
	err = perform(newApp(&out, &errs), append([]string{"x", "run", "--writeconfig=" + path}, args...), nil)
	return out.String(), errs.String(), err
}

// contents lists a folder: the name, mode and content of each file.
func contents(t *testing.T, dir string) string {
	t.Helper()
	text := ""
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		content, _ := os.ReadFile(filepath.Join(dir, e.Name()))
		text += fmt.Sprintf("%s %s %q\n", e.Name(), info.Mode(), content)
	}
	return text
}

// TestWriteConfigReplacesConfigurations and no other file, except with --force.
func TestWriteConfigReplacesConfigurations(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "there")
	f := func(content string, replaced bool, args ...string) {
		t.Helper()
		lab.ReplaceFile(t, path, content)
		before := contents(t, dir)
		_, _, err := writes(path, args...)
		after, _ := os.ReadFile(path)
		switch {
		case replaced && (err != nil || !bytes.HasPrefix(after, []byte("; Options of dnsmonster-sensor"))):
			t.Errorf("%.40q with %q: not replaced: %v", content, args, err)
		case !replaced && (err == nil || !strings.Contains(err.Error(), "--force") || contents(t, dir) != before):
			t.Errorf("%.40q with %q: %v\n%s", content, args, err, contents(t, dir))
		}
	}
	ours, _, err := writes("-", "--zincoutputpassword=hush", "--writesecrets")
	if err != nil || !strings.Contains(ours, "zincoutputpassword = hush\n") {
		t.Fatalf("stdout got %q: %v", ours, err)
	}
	f("", true)
	f("\n", true)
	f(ours, true)
	f("[Capture]\nDevName = lo ; comment\nprot = 53\n", true)
	f("devname=lo", true)
	f(string(packets.Queries(3)), false)
	f(string(packets.Queries(3)), true, "--force")
	f("root:x:0:0:root:/root:/bin/sh\n", false)
	f("# a script\necho hello\n", false)
	f("[Unit]\nDescription=x\n", false)
	f("[client]\nport = 3306\n", false)
	f("host = a\nuser = b\nport = 3\n", false)
	f("# only a comment of somebody\n", false)
	f(`{"port": 53}`, false)
	f("\x1f\x8b\x08\x00", false)
	f("port = 53\n\x00\x00", false)
	// a secret that would be lost
	const holds = "zincoutputpassword = hush\nport = 53\n"
	f(holds, false, "--config="+path)
	f(holds, true, "--config="+path, "--force")
	f(holds, true, "--config="+path, "--writesecrets")
	f(holds, true)
}

// TestWriteConfigFollowsNoLink, and still writes to pipes and devices.
func TestWriteConfigFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "there"), filepath.Join(dir, "link")
	lab.ReplaceFile(t, path, "port = 53\n")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	for _, args := range [][]string{nil, {"--force"}} {
		if _, _, err := writes(link, args...); err == nil || !strings.Contains(err.Error(), "is a symbolic link: name the file itself: "+path) || contents(t, dir) != before {
			t.Errorf("%v\n%s", err, contents(t, dir))
		}
	}
	lost := filepath.Join(dir, "lost")
	if err := os.Symlink(filepath.Join(dir, "gone"), lost); err != nil {
		t.Fatal(err)
	}
	if _, _, err := writes(lost); err == nil || !strings.Contains(err.Error(), lost+" is a symbolic link that leads nowhere: name the file itself") {
		t.Error(err)
	}
	for _, at := range []string{dir, filepath.Join(dir, "no", "such"), "/proc/version"} {
		if _, _, err := writes(at); err == nil || !strings.Contains(err.Error(), at) && !strings.Contains(err.Error(), filepath.Dir(at)) {
			t.Errorf("%s: %v", at, err)
		}
	}
	if _, _, err := writes("/dev/null"); err != nil {
		t.Error(err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	got := make(chan string)
	go func() {
		b, err := os.ReadFile(fifo)
		got <- fmt.Sprint(len(b) > 0, err)
	}()
	if _, _, err := writes(fifo); err != nil {
		t.Error(err)
	}
	if s := <-got; s != "true <nil>" {
		t.Errorf("the pipe's reader got %s", s)
	}
}

// TestWriteConfigKeepsOwnerAndMode of the file that it replaces.
func TestWriteConfigKeepsOwnerAndMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.ini")
	f := func(mode, want os.FileMode, args ...string) {
		t.Helper()
		lab.ReplaceFile(t, path, "port = 53\n")
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		owner := os.Geteuid()
		if owner == 0 {
			owner = 12345
			if err := os.Chown(path, owner, owner); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := writes(path, args...); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := st.Sys().(*syscall.Stat_t); st.Mode().Perm() != want || int(got.Uid) != owner {
			t.Errorf("%o with %q: mode %o, want %o; owner %d, want %d", mode, args, st.Mode().Perm(), want, got.Uid, owner)
		}
	}
	f(0o600, 0o600)
	f(0o640, 0o640)
	f(0o644, 0o644)
	f(0o640, 0o640, "--writesecrets")
	f(0o644, 0o600, "--writesecrets")
	f(0o666, 0o600, "--writesecrets")
	os.Remove(path)
	if _, _, err := writes(path, "--writesecrets"); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("a new file with secrets: %v, %v", st.Mode(), err)
	}
}

// TestWriteConfigOnAFullDisk leaves the old file, and no temporary one.
func TestWriteConfigOnAFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it mounts a small disk")
	}
	dir := lab.Tmpfs(t, 1)
	path := filepath.Join(dir, "c.ini")
	lab.ReplaceFile(t, path, "port = 53\n")
	filler, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	filler.Close()
	f := func(name, shell string) {
		t.Helper()
		before, _ := os.ReadDir(dir)
		cmd := program.Command(nil, "run", "--writeconfig="+name)
		cmd.Args = append([]string{"sh", "-c", shell + `exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
		out, err := cmd.CombinedOutput()
		after, _ := os.ReadDir(dir)
		if cmd.ProcessState.ExitCode() != exitFailure || !strings.Contains(string(out), "dnsmonster-sensor: --writeconfig: ") || len(before) != len(after) {
			t.Errorf("%s: %v\n%s%v", name, err, out, after)
		}
	}
	f(path, "")
	f(filepath.Join(dir, "new.ini"), "")
	os.Remove(filler.Name())
	f(path, "ulimit -f 1; ")
	if b, err := os.ReadFile(path); err != nil || string(b) != "port = 53\n" {
		t.Errorf("the file holds %q, %v", b, err)
	}
}

// TestWriteConfigOntoAMount: a container may have a single file of its host mounted.
func TestWriteConfigOntoAMount(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it mounts a file")
	}
	path := filepath.Join(t.TempDir(), "c.ini")
	lab.ReplaceFile(t, path, "port = 53\n")
	if err := unix.Mount(path, path, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(path, unix.MNT_DETACH)
	_, _, err := writes(path)
	if err == nil || !strings.Contains(err.Error(), "--writeconfig: "+path+" is mounted by itself and cannot be replaced: mount its folder") {
		t.Error(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "port = 53\n" {
		t.Errorf("the file holds %q", b)
	}
}

// TestProfilesAreTheUsersOwn: only the user can read them, and they replace only
// profiles.
func TestProfilesAreTheUsersOwn(t *testing.T) {
	file, dir := packets.TempFile(t, packets.Queries(10)), t.TempDir()
	cpu, mem := filepath.Join(dir, "cpu"), filepath.Join(dir, "mem")
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	for range 2 { // the second time they are replaced
		program.Run(t, "replay", file, "--cpuprofile="+cpu, "--memprofile="+mem)
		for _, path := range []string{cpu, mem} {
			if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 || st.Size() == 0 {
				t.Errorf("%s: %v, %v", path, st, err)
			}
		}
		os.Chmod(cpu, 0o666)
	}
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	lab.ReplaceFile(t, target, "")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	f := func(want string, args ...string) {
		t.Helper()
		before := contents(t, filepath.Dir(file)) + contents(t, dir)
		r := program.Start(t, nil, append([]string{"replay", file}, args...)...).Wait(time.Minute)
		if r.Code != exitUsage || !strings.Contains(r.Log, want) || contents(t, filepath.Dir(file))+contents(t, dir) != before {
			t.Errorf("%q: exit status %d:\n%s", args, r.Code, r.Log)
		}
	}
	f("--cpuprofile: "+link+" is a symbolic link", "--cpuprofile="+link)
	f("--memprofile: "+file+" exists and is not a profile: name another file, or use --force to replace it", "--memprofile="+file)
	f("--memprofile: /dev/null is not a regular file", "--memprofile=/dev/null")
	f("--memprofile: --cpuprofile names the same file: each needs its own", "--cpuprofile="+cpu, "--memprofile="+dir+"/./cpu")
	program.Run(t, "replay", file, "--memprofile="+target)
}

// randomValue is a value of the option's form.
func randomValue(r *rand.Rand, o *config.Value) string {
	switch o.Kind {
	case config.Bool:
		return fmt.Sprint(r.IntN(2) == 0)
	case config.SwitchOrTime:
		return []string{"true", "false", "", "90s", "1500ms"}[r.IntN(5)]
	case config.Duration:
		return fmt.Sprintf("%dms", r.IntN(1e7))
	case config.Text:
		const alphabet = `ab =;#"'\[]{}:,/	ü€` + "\n\r\x00\x7f\ufeff"
		runes := []rune(alphabet)
		b := new(strings.Builder)
		for range r.IntN(12) {
			b.WriteRune(runes[r.IntN(len(runes))])
		}
		return b.String()
	}
	return fmt.Sprint(r.IntN(1e6))
}

// randomOptions sets a quarter of the options.
func randomOptions(r *rand.Rand, all *config.Values) (args []string) {
	for _, o := range all.All() {
		if o.Section == "" || o.SecretOf != "" || r.IntN(4) > 0 {
			continue
		}
		times := 1
		if o.List {
			times += r.IntN(3)
		}
		for range times {
			args = append(args, "--"+o.Name+"="+randomValue(r, &o))
		}
	}
	return args
}

// TestRandomConfigurationsSurviveWriting: what --writeconfig writes is read as the same
// values, and is written the same way again. Only the first few go to the named file,
// which waits for the disk.
func TestRandomConfigurationsSurviveWriting(t *testing.T) {
	t.Parallel()
	defaults, err := values([]string{"run"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	for i := range tier.Length(200, 1000) {
		args := append([]string{"run", "--writesecrets"}, randomOptions(r, defaults)...)
		want, err := values(args, nil)
		if err != nil {
			t.Fatalf("%q: %v", args, err)
		}
		path := filepath.Join(dir, fmt.Sprint(i))
		if i < 5 {
			_, _, err = writes(path, args[1:]...)
		} else {
			var text string
			if text, _, err = writes("-", args[1:]...); err == nil {
				err = os.WriteFile(path, []byte(text), 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := values([]string{"run", "--config", path}, nil)
		if err != nil {
			t.Fatalf("%v", err)
		}
		for _, o := range want.All() {
			if now := got.Get(o.Name); o.Section != "" && !slices.Equal(now.Text, o.Text) {
				t.Fatalf("run %d: %s = %q was written and read as %q", i, o.Name, o.Text, now.Text)
			}
		}
		var first, second bytes.Buffer
		config.WriteINI(&first, got, true)
		again, err := config.Read("again", bytes.NewReader(first.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if len(again.Entries) == 0 {
			t.Fatal("nothing is written")
		}
		config.WriteINI(&second, want, true)
		if first.String() != second.String() {
			t.Fatalf("run %d: what is written changes", i)
		}
	}
}
