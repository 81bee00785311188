//go:build linux

// Package packaging_test runs the Makefile and its scripts in copies of the checkout,
// with a go command and a sensor that are shell scripts and say how they were called.
package packaging_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/test/lab"
)

// goStub answers as the go command of a version, and builds sensorStub.
const goStub = `#!/bin/sh
case $1 in
  version) echo "go version go%s linux/amd64" ;;
  env) [ "$2" != GOTOOLCHAIN ] || echo "${GOTOOLCHAIN:-auto}" ;;
  build)
    echo "uid $(id -u) home $HOME: CGO_ENABLED=$CGO_ENABLED $*" >>"${0%%/*}/calls"
    while [ "$1" != -o ]; do shift; done
    rm -f "$2" && cat >"$2" <<'S' && chmod 755 "$2"
%s
S
    ;;
  *) echo "uid $(id -u): $*" ;;
esac
`

// sensorStub prints what make install asks for, and how it was called otherwise.
const sensorStub = `#!/bin/sh
case $1 in
  --version) echo "dnsmonster-sensor 1" ;;
  --systemdservice) cat <<'U'
` + config.SystemdService + `U
    ;;
  *) echo "sensor $*" ;;
esac`

// shipped is what make install installs of this folder under the same names.
var shipped = []string{"packaging/clickhouse/tables.sql", "packaging/grafana/README.md", "packaging/grafana/dashboards/*", "packaging/grafana/provisioning/*/*"}

// checkout is a copy of the Makefile and of what it uses.
type checkout struct {
	t   *testing.T
	dir string
	go_ string // the folder of its go command
	env []string
}

func newCheckout(t *testing.T, goVersion string) *checkout {
	t.Helper()
	// Other users must be able to reach it.
	base, err := os.MkdirTemp("", "sensor-make-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	c := &checkout{t: t, dir: filepath.Join(base, "a checkout"), go_: filepath.Join(base, "go", "bin")}
	for _, dir := range []string{base, c.dir, c.go_} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"bpf", "outputs", "sensor", "userspace", "docs"} {
		c.write(dir+"/x.md", "x", 0o644)
	}
	for _, name := range []string{"Makefile", "go.mod", "go.sum", "main.go", "LICENSE", "README.md", "MIGRATING.md"} {
		c.copy(name)
	}
	entries, err := filepath.Glob("dev/*.sh")
	if err != nil || len(entries) < 5 {
		t.Fatalf("scripts: %v, %v", entries, err)
	}
	for _, name := range append(entries, "install.sh", "config-sample.ini", "skipdomains.csv.sample") {
		c.copy("packaging/" + name)
	}
	for _, pattern := range shipped {
		list, err := filepath.Glob("../" + pattern)
		if err != nil || len(list) == 0 {
			t.Fatalf("%s: %v, %v", pattern, list, err)
		}
		for _, name := range list {
			c.copy(strings.TrimPrefix(name, "../"))
		}
	}
	c.goCommand(c.go_, goVersion)
	c.env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + base, "GO=" + filepath.Join(c.go_, "go")}
	return c
}

func (c *checkout) write(name, content string, mode fs.FileMode) {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		c.t.Fatal(err)
	}
}

func (c *checkout) copy(name string) {
	c.t.Helper()
	b, err := os.ReadFile(filepath.Join("..", name))
	if err != nil {
		c.t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join("..", name))
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(name, string(b), info.Mode().Perm())
}

func (c *checkout) goCommand(dir, version string) {
	c.t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), fmt.Appendf(nil, goStub, version, sensorStub), 0o755); err != nil {
		c.t.Fatal(err)
	}
}

func (c *checkout) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = c.dir, c.env
	return cmd
}

// runs runs a command, and returns what it prints.
func (c *checkout) runs(name string, args ...string) string {
	c.t.Helper()
	out, err := c.command(name, args...).CombinedOutput()
	if err != nil {
		c.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// calls is what the go command was asked to build, and as whom.
func (c *checkout) calls() string {
	b, _ := os.ReadFile(filepath.Join(c.go_, "calls")) // it was never called
	return string(b)
}

func wants(t *testing.T, got string, wanted ...string) {
	t.Helper()
	for _, w := range wanted {
		if !strings.Contains(got, w) {
			t.Errorf("want %q in:\n%s", w, got)
		}
	}
}

// other is a user who is not root, with the right to read the checkout only.
func other(t *testing.T) (u *user.User, id uint32) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: it becomes another user")
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Skip("needs the user nobody")
	}
	n, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return u, uint32(n)
}

// TestMakeFindsGo: the first Go that is new enough is taken, wherever it is; otherwise
// one line says what is needed and what was found.
func TestMakeFindsGo(t *testing.T) {
	t.Parallel()
	c := newCheckout(t, "1.19.8")
	old := filepath.Join(c.go_, "go")
	fails := func(want string) {
		t.Helper()
		out, err := c.command("make", "build").CombinedOutput()
		got := string(out)
		if err == nil || strings.Count(got, "\n") != 2 || !strings.Contains(got, "Error 1") {
			t.Errorf("want one line, and that of make, not %v:\n%s", err, got)
		}
		wants(t, got, want)
	}
	fails("Go 1.26 or newer is needed; found 1.19.8 in " + old + ". Get it from https://go.dev/dl/")
	c.env[2] = "GO=/nonexistent/go"
	fails("Go 1.26 or newer is needed; found none in GO=/nonexistent/go. Get it from https://go.dev/dl/")

	// 1.22 fetches the Go of go.mod itself, unless GOTOOLCHAIN is local.
	c.goCommand(c.go_, "1.22.1")
	c.env[2] = "GO=" + old
	wants(t, c.runs("make", "build"), "found Go 1.22.1 in "+old+"; it downloads Go 1.26.0")

	c.env = append(c.env, "GOTOOLCHAIN=local")
	fails("Go 1.26 or newer is needed; found 1.22.1 in " + old)

	// The folder in which it runs does not matter.
	relative := newCheckout(t, "1.99")
	relative.env[2] = "GO=../go/bin/go"
	relative.runs("make", "build")

	// An old Go in PATH does not hide a new one elsewhere.
	c.goCommand(c.go_, "1.9")
	c.goCommand(filepath.Join(c.dir, "newer", "bin"), "1.126")
	c.env = append(c.env[:2:2], "GOROOT="+filepath.Join(c.dir, "newer"))
	c.env[0] = "PATH=" + c.go_ + ":/usr/sbin:/usr/bin:/sbin:/bin"
	got := c.runs("packaging/dev/go.sh", "--with", "sh", "-c", "command -v go")
	wants(t, got, filepath.Join(c.dir, "newer", "bin", "go"))
}

// TestMakeBuildsAsTheUser: under sudo the program is built as the user who called it, with
// this user's home, in a checkout that is this user's; in a checkout of root as root.
func TestMakeBuildsAsTheUser(t *testing.T) {
	t.Parallel()
	nobody, id := other(t)
	c := newCheckout(t, "1.99.1")
	c.env = append(c.env, "SUDO_USER=nobody", "SUDO_UID="+nobody.Uid, "SUDO_GID="+nobody.Gid)
	c.runs("make", "build")
	wants(t, c.calls(), "uid 0 home ")

	c.write("build/left", "by an earlier make as root", 0o600)
	if err := filepath.WalkDir(filepath.Dir(c.dir), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || strings.Contains(path, "/build/") {
			return err
		}
		return os.Lchown(path, int(id), -1)
	}); err != nil {
		t.Fatal(err)
	}
	c.runs("make", "build")
	wants(t, c.calls(), "uid "+nobody.Uid+" home "+nobody.HomeDir+":")
	for _, name := range []string{"dnsmonster-sensor", "build/left"} {
		info, err := os.Stat(filepath.Join(c.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != id {
			t.Errorf("%s belongs to %d", name, owner)
		}
	}
	// make install finds the program, and builds nothing.
	before := c.calls()
	c.runs("make", "install", "DESTDIR="+t.TempDir())
	if c.calls() != before {
		t.Errorf("make install has built: %s", strings.TrimPrefix(c.calls(), before))
	}
}

// TestMakeTellsTheVersion: the version is that of git, also if the checkout belongs to
// somebody else, and dev in a tree without git, whatever repository is above it.
func TestMakeTellsTheVersion(t *testing.T) {
	t.Parallel()
	_, id := other(t)
	lab.Need(t, "git")
	c := newCheckout(t, "1.99")
	git := func(dir string) string {
		t.Helper()
		c.runs("git", "init", "-q", dir)
		for _, args := range [][]string{{"add", "-A"}, {"commit", "-q", "-m", "x"}} {
			c.runs("git", append([]string{"-C", dir, "-c", "user.name=x", "-c", "user.email=x@example.org"}, args...)...)
		}
		return strings.TrimSpace(c.runs("git", "-C", dir, "rev-parse", "--short=7", "HEAD"))
	}
	git(filepath.Dir(c.dir))
	if out := c.runs("make", "build"); out != "" {
		t.Errorf("make build prints %q", out)
	}
	wants(t, c.calls(), ": CGO_ENABLED=0 build -trimpath -buildvcs=false -tags urfave_cli_no_docs ", "cli.version=dev ", "cli.linkedCommit=unknown")
	commit := git(c.dir)
	for _, path := range []string{c.dir, filepath.Join(c.dir, ".git")} {
		if err := os.Lchown(path, int(id), -1); err != nil {
			t.Fatal(err)
		}
	}
	if out := c.runs("make", "build"); out != "" {
		t.Errorf("make build prints %q", out)
	}
	wants(t, c.calls(), "cli.version="+commit, "cli.linkedCommit="+commit)
}

// TestMakeRun: what is captured, with which options, and how root is asked for.
func TestMakeRun(t *testing.T) {
	t.Parallel()
	nobody, id := other(t)
	lab.Need(t, "unshare")
	c := newCheckout(t, "1.99")
	wants(t, c.runs("make", "run", "IFACE=lo eth7", "ARGS=-c 5 --format 'a b'"), "sensor attach lo eth7 -c 5 --format a b\n")
	got := c.runs("unshare", "--net", "make", "run")
	wants(t, got, "capturing from any (there is no default route, so all interfaces that are up, of lo; one of them: make run IFACE=NAME). Ctrl-C ends.\n", "sensor attach any\n")

	// A plain user: sudo is asked for the one command, with the settings that the sensor reads.
	user := func() (string, error) {
		t.Helper()
		cmd := c.command("packaging/dev/run.sh", "-v")
		cmd.Env = append(cmd.Env, "IFACE=lo", "DNSMONSTER_PORT=5353", "HOME="+nobody.HomeDir)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	bin := filepath.Join(c.dir, "bin")
	c.env[0] = "PATH=" + bin
	for _, name := range []string{"bash", "dirname", "awk", "sort", "env", "sed", "tr", "mktemp", "rm"} {
		if err := os.MkdirAll(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		path, err := exec.LookPath(name)
		if err == nil {
			err = os.Symlink(path, filepath.Join(bin, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	got, err := user()
	if err == nil {
		t.Errorf("without sudo it succeeds")
	}
	wants(t, got, "root is needed to capture, and this machine has no sudo. As root, in "+c.dir+": ./dnsmonster-sensor attach lo -v\n")
	c.write("bin/sudo", "#!/bin/sh\necho sudo $*\nwhile [ \"$1\" != --settings ]; do shift; done\ntr '\\0' '\\n' <\"$2\"\n", 0o755)
	got, err = user()
	if err != nil {
		t.Error(err)
	}
	wants(t, got, "root is needed to capture: sudo ./dnsmonster-sensor attach lo -v\n", "\nDNSMONSTER_PORT=5353\n")
	// Process lists and sudo's log show arguments.
	m := regexp.MustCompile(`(?m)^sudo .*-H -- \S.*/packaging/dev/as-root.sh --settings (\S+) to capture ./dnsmonster-sensor attach lo -v$`).FindStringSubmatch(got)
	if m == nil {
		t.Fatalf("sudo is not asked for the command alone:\n%s", got)
	}
	if _, err := os.Stat(m[1]); err == nil {
		t.Errorf("%s is left", m[1])
	}
}

// TestAsRoot: the half that sudo starts takes the settings, gives files back, and leaves no
// shell between make's signals and the sensor.
func TestAsRoot(t *testing.T) {
	t.Parallel()
	_, id := other(t)
	c := newCheckout(t, "1.99")
	c.write("settings", "DNSMONSTER_A=b c\nd\x00GOFLAGS=-x\x00", 0o600)
	got := c.runs("packaging/dev/as-root.sh", "--settings", "settings", "to try", "sh", "-c", `echo "$1, $DNSMONSTER_A, $GOFLAGS"`, "sh", "a b")
	if want := "a b, b c\nd, -x\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "settings")); err == nil {
		t.Error("the settings are left")
	}

	c.write("dnsmonster-sensor", "#!/bin/sh\necho $$\n", 0o755)
	pid := func(command ...string) {
		t.Helper()
		cmd := c.command("packaging/dev/as-root.sh", append([]string{"to try"}, command...)...)
		out, err := cmd.Output()
		if want := fmt.Sprintln(cmd.Process.Pid); err != nil || string(out) != want {
			t.Errorf("%q, %v: the command is not process %s", out, err, want)
		}
	}
	pid("sh", "-c", "echo $$")
	c.env = append(c.env, "SUDO_USER=nobody")
	pid("./dnsmonster-sensor")

	c.runs("packaging/dev/as-root.sh", "to try", "sh", "-c", "mkdir build && touch build/times")
	info, err := os.Stat(filepath.Join(c.dir, "build/times"))
	if err != nil {
		t.Fatal(err)
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != id {
		t.Errorf("build/times belongs to %d", owner)
	}
}

// TestFirstMinutesSparesFolders: what is in a folder that the script has not made stays.
func TestFirstMinutesSparesFolders(t *testing.T) {
	t.Parallel()
	other(t)
	c := newCheckout(t, "1.99")
	c.write("mine/file", "x", 0o644)
	out, err := c.command("packaging/dev/first-minutes.sh", "--modes", "none", "mine").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "mine is not empty, and not a Debian that this script has made") {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "mine/file")); err != nil {
		t.Error(err)
	}
}
