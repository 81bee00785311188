//go:build linux

package packaging_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/test/lab"
)

// tree lists what is below dir, with modes.
func tree(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		list = append(list, fmt.Sprintf("%s %s", strings.TrimPrefix(path, dir), info.Mode()))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestInstallAndUninstall: install puts files where shells, man and systemd look for them;
// a newer version replaces them by rename; uninstall leaves what was there before.
func TestInstallAndUninstall(t *testing.T) {
	t.Parallel()
	c := newCheckout(t, "1.99")
	dest := filepath.Join(t.TempDir(), "a package")
	mine := map[string]string{
		"etc/dnsmonster.ini":               "mine",
		"usr/local/bin/mine":               "mine",
		"etc/dnsmonster-sensor/postgres":   "mine",
		"usr/local/share/man/man8/other.8": "mine",
	}
	for name, content := range mine {
		path := filepath.Join(dest, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := tree(t, dest)
	c.env = append(c.env, "DESTDIR="+dest)
	// As under a umask that would make folders for root alone.
	install := func() { t.Helper(); c.runs("sh", "-c", "umask 077; make -j4 build install") }
	install()
	after := tree(t, dest)
	for _, want := range []string{
		"/usr/local/bin/dnsmonster-sensor -rwxr-xr-x",
		"/usr/local/share/man/man8/dnsmonster-sensor.8 -rw-r--r--",
		"/usr/local/share/bash-completion/completions/dnsmonster-sensor -rw-r--r--",
		"/usr/local/share/zsh/site-functions/_dnsmonster-sensor -rw-r--r--",
		"/etc/fish/completions/dnsmonster-sensor.fish -rw-r--r--",
		"/usr/local/lib/systemd/system/dnsmonster-sensor.service -rw-r--r--",
		"/usr/local/share/doc/dnsmonster-sensor/dnsmonster.ini.sample -rw-r--r--",
		"/usr/local/share/doc/dnsmonster-sensor/skipdomains.csv.sample -rw-r--r--",
		"/usr/local/share/doc/dnsmonster-sensor/LICENSE -rw-r--r--",
		"/usr/local/share/doc/dnsmonster-sensor/README.md -rw-r--r--",
		"/usr/local/share/doc/dnsmonster-sensor/MIGRATING.md -rw-r--r--",
		"/usr/local/share/doc/dnsmonster-sensor/docs drwxr-xr-x",
		"/usr/local/share/doc/dnsmonster-sensor/docs/x.md -rw-r--r--",
	} {
		if !slices.Contains(after, want) {
			t.Errorf("not installed: %s\n%s", want, strings.Join(after, "\n"))
		}
	}
	for _, pattern := range shipped {
		list, _ := filepath.Glob("../" + pattern)
		for _, name := range list {
			want := "/usr/local/share/doc/dnsmonster-sensor/" + strings.TrimPrefix(name, "../") + " -rw-r--r--"
			if !slices.Contains(after, want) {
				t.Errorf("not installed: %s", want)
			}
		}
	}
	for name, option := range map[string]string{
		"man/man8/dnsmonster-sensor.8":                         "--manpage",
		"bash-completion/completions/dnsmonster-sensor":        "--bashcompletion",
		"zsh/site-functions/_dnsmonster-sensor":                "--zshcompletion",
		"../../../etc/fish/completions/dnsmonster-sensor.fish": "--fishcompletion",
	} {
		if b, err := os.ReadFile(filepath.Join(dest, "usr/local/share", name)); err != nil || string(b) != "sensor "+option+"\n" {
			t.Errorf("%s is %q, %v; it comes from %s", name, b, err, option)
		}
	}
	unit, err := os.ReadFile(filepath.Join(dest, "usr/local/lib/systemd/system/dnsmonster-sensor.service"))
	if err != nil {
		t.Fatal(err)
	}
	wants(t, string(unit), "\nExecStart=/usr/local/bin/dnsmonster-sensor run --config=/etc/dnsmonster.ini\n")

	program := filepath.Join(dest, "usr/local/bin/dnsmonster-sensor")
	old, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	held, err := os.Open(program) // its inode stays, as that of a running program
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := os.Rename(filepath.Join(c.dir, "docs/x.md"), filepath.Join(c.dir, "docs/y.md")); err != nil {
		t.Fatal(err)
	}
	install()
	if now, err := os.Stat(program); err != nil || os.SameFile(old, now) {
		t.Errorf("the program was written over, not renamed: %v", err)
	}
	after = tree(t, dest)
	if slices.ContainsFunc(after, func(s string) bool { return strings.Contains(s, "x.md") || strings.Contains(s, ".new") }) {
		t.Errorf("files of the older version are left:\n%s", strings.Join(after, "\n"))
	}
	wants(t, c.runs("make", "uninstall"), "uninstalled from "+dest+"/usr/local; configuration")
	if got := tree(t, dest); !slices.Equal(got, before) {
		t.Errorf("uninstall leaves\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(before, "\n"))
	}
	for name, content := range mine {
		if b, err := os.ReadFile(filepath.Join(dest, name)); err != nil || string(b) != content {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if out, err := c.command("make", "uninstall").CombinedOutput(); err == nil || !strings.Contains(string(out), "nothing is installed below "+dest+"/usr/local") {
		t.Errorf("a second uninstall: %v\n%s", err, out)
	}
}

// TestInstallElsewhere: systemd accepts the unit of another PREFIX, which names the
// program there; what cannot be installed is one line, and what was installed before an
// error is known to uninstall.
func TestInstallElsewhere(t *testing.T) {
	t.Parallel()
	lab.Need(t, "systemd-analyze")
	c := newCheckout(t, "1.99")
	prefix := filepath.Join(filepath.Dir(c.dir), "prefix")
	unit := prefix + "/lib/systemd/system/dnsmonster-sensor.service"
	wants(t, c.runs("make", "install", "PREFIX="+prefix+"//"), "systemd does not look into "+prefix+": sudo systemctl link "+unit+"\n")
	if out := c.runs("systemd-analyze", "verify", "--man=no", unit); strings.Contains(out, "dnsmonster-sensor.service:") {
		t.Errorf("systemd-analyze verify: %s", out)
	}
	c.runs("make", "uninstall", "PREFIX="+prefix)
	if _, err := os.Stat(prefix); err == nil {
		t.Errorf("left: %s", strings.Join(tree(t, prefix), "\n"))
	}

	fails := func(want string, args ...string) {
		t.Helper()
		out, err := c.command("make", append([]string{"install"}, args...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("want %q, got %v:\n%s", want, err, out)
		}
	}
	fails("PREFIX=relative: want an absolute path", "PREFIX=relative")
	fails("PREFIX=/a b: want an absolute path", "PREFIX=/a b")
	fails("PREFIX=/usr/../usr: want an absolute path", "PREFIX=/usr/../usr")
	fails("DESTDIR=relative: want an absolute path", "DESTDIR=relative")
	if err := os.MkdirAll(prefix+"/share", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(prefix+"/share/doc", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	fails("cannot make "+prefix+"/share/doc: run sudo make install", "PREFIX="+prefix)
	c.runs("make", "uninstall", "PREFIX="+prefix)
	if got := len(tree(t, prefix)); got != 3 {
		t.Errorf("%d files and folders are left, want prefix, share and doc:\n%s", got, strings.Join(tree(t, prefix), "\n"))
	}

	// A folder in the place of a file is not filled, and nothing half-written is left.
	if err := os.MkdirAll(prefix+"/bin/dnsmonster-sensor/mine", 0o755); err != nil {
		t.Fatal(err)
	}
	fails(prefix+"/bin/dnsmonster-sensor is a folder", "PREFIX="+prefix)
	c.runs("make", "uninstall", "PREFIX="+prefix)
	if got := len(tree(t, prefix)); got != 6 {
		t.Errorf("%d files and folders are left, want bin and mine, too:\n%s", got, strings.Join(tree(t, prefix), "\n"))
	}
	c.write("dnsmonster-sensor", "\x7fELF of another machine", 0o755)
	fails("this machine cannot run "+c.dir+"/dnsmonster-sensor", "PREFIX="+prefix)
}

var (
	pathOfOurs = regexp.MustCompile(`/(?:etc|var/log|var/lib|var/spool|var/run|run)/dnsmonster[\w./-]*`)
	goodPath   = regexp.MustCompile(`^/etc/dnsmonster\.ini$|^/etc/dnsmonster-sensor(/|$)|^/var/(log|lib)/dnsmonster-sensor(/|$)|^/run/dnsmonster\.sock$|^/run/dnsmonster-sensor(/|$)`)
)

// TestPathsAgree: the unit, the samples and all pages use the same folders, and the unit
// may write to those that the sensor writes to.
func TestPathsAgree(t *testing.T) {
	texts := map[string]string{"config.Example": config.Example, "config.SystemdService": config.SystemdService}
	for _, pattern := range []string{"*", "../*.md", "../docs/*.md", "../outputs/*/README.md", "dev/*"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, ".go") || name == "../MIGRATING.md" { // a dnsmonster site has folders of its own
				continue
			}
			if b, err := os.ReadFile(name); err == nil {
				texts[name] = string(b)
			}
		}
	}
	found := 0
	for name, text := range texts {
		for _, path := range pathOfOurs.FindAllString(text, -1) {
			found++
			if path = strings.TrimRight(path, "./"); !goodPath.MatchString(path) {
				t.Errorf("%s has %s; paths are /etc/dnsmonster.ini, /run/dnsmonster.sock, and below /etc, /run, /var/log and /var/lib/dnsmonster-sensor", name, path)
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d paths found", found)
	}
	wants(t, config.SystemdService, "--config=/etc/dnsmonster.ini\n", "\nStateDirectory=dnsmonster-sensor\n", "\nLogsDirectory=dnsmonster-sensor\n")
	wants(t, config.Example, "spooldir = /var/lib/dnsmonster-sensor/spool\n")
}
