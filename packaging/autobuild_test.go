//go:build linux

package packaging_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/pty"
)

// autobuild runs the script, without a terminal.
func autobuild(t *testing.T, env []string, args ...string) (out string, ok bool) {
	t.Helper()
	cmd := exec.Command("./autobuild.sh", args...)
	cmd.Env = append(os.Environ(), env...)
	text, err := cmd.CombinedOutput()
	return string(text), err == nil
}

var passwords = regexp.MustCompile(`(?m)^(\w+_PASSWORD)=([0-9a-f]{32})$`)

// settings reads a file that the script has written, without its passwords.
func settings(t *testing.T, file string) string {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("%s has mode %v", file, info.Mode())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, m := range passwords.FindAllStringSubmatch(string(text), -1) {
		found[m[2]] = true
	}
	if len(found) != 3 {
		t.Errorf("%d different passwords:\n%s", len(found), text)
	}
	return passwords.ReplaceAllString(string(text), "$1=...")
}

func written(interfaces, name, data, log, days string) string {
	promiscuous := "true"
	if interfaces == "any" {
		promiscuous = "false" // the sensor would refuse it
	}
	return `# Written by packaging/autobuild.sh for compose.yaml beside it.
COMPOSE_PROJECT_NAME=dnsmonster-sensor
INTERFACES="` + interfaces + `"
PROMISCUOUS=` + promiscuous + `
SERVER_NAME=` + name + `
DATA_DIR=` + data + `
LOG_DIR=` + log + `
RETENTION_DAYS=` + days + `
CLICKHOUSE_PASSWORD=...
CLICKHOUSE_DASHBOARDS_PASSWORD=...
GRAFANA_PASSWORD=...
`
}

func TestAutobuildWithoutQuestions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, ".env")
	f := func(want string, env []string, args ...string) {
		t.Helper()
		os.Remove(file)
		out, ok := autobuild(t, env, append(args, "--output", file)...)
		if !ok {
			t.Fatal(out)
		}
		if got := settings(t, file); got != want {
			t.Errorf("%s\nwant\n%s", got, want)
		}
		wants(t, out, "docker", "up -d --build", "--env-file "+file, "http://127.0.0.1:3000")
	}
	name := []string{"SERVER_NAME=sensor"}
	f(written("lo", "sensor", "/data/ch/data", "/data/ch/logs", "30"), name, "--interfaces=lo")
	f(written("any", "ns1.example.org", "/srv/a", "/srv/b", "365"), nil, "--interfaces", "any", "--data-dir", "/srv//a/", "--log-dir", "/srv/b", "--retention-days", "365", "--server-name", "ns1.example.org", "-y")
	f(written("lo lo", "sensor", "/d", "/l", "7"), append(name, "INTERFACES=lo; lo;", "DATA_DIR=/d", "LOG_DIR=/l", "RETENTION_DAYS=7"))
	f(written("lo", "sensor", "/d", "/l", "8"), append(name, "INTERFACES=any", "RETENTION_DAYS=7"), "--interfaces", "lo", "--retention-days=8", "--data-dir=/d", "--log-dir=/l")

	// What exists is not replaced silently, and keeps its passwords.
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if out, ok := autobuild(t, name, "--interfaces", "any", "--output", file); ok || !strings.Contains(out, "exists: --force replaces it") {
		t.Errorf("%v %s", ok, out)
	}
	if now, err := os.ReadFile(file); err != nil || string(now) != string(before) {
		t.Errorf("%v\n%s", err, now)
	}
	if out, ok := autobuild(t, name, "--interfaces", "any", "--data-dir=/d", "--log-dir=/l", "--retention-days=8", "--output", file, "--force"); !ok {
		t.Error(out)
	}
	now, err := os.ReadFile(file)
	if err != nil || string(now) != strings.Replace(string(before), "INTERFACES=\"lo\"\nPROMISCUOUS=true", "INTERFACES=\"any\"\nPROMISCUOUS=false", 1) {
		t.Errorf("%v\n%s", err, now)
	}
	if old, err := os.ReadFile(file + ".old"); err != nil || string(old) != string(before) {
		t.Errorf("%v\n%s", err, old)
	}
	// What is not given stays.
	if out, ok := autobuild(t, nil, "--retention-days=9", "--output", file, "--force"); !ok || !strings.Contains(out, "clickhouse ttl 9d") {
		t.Error(out)
	}
	if last, err := os.ReadFile(file); err != nil || string(last) != strings.Replace(string(now), "RETENTION_DAYS=8", "RETENTION_DAYS=9", 1) {
		t.Errorf("%v\n%s", err, last)
	}
}

func TestAutobuildChecksAnswers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, ".env")
	link := filepath.Join(dir, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{ // what the message says, then arguments
		{"there is no interface nosuch0", "--interfaces", "nosuch0"},
		{"cannot be the name of an interface", "--interfaces", "lo;$(touch pwned)"},
		{"cannot be the name of an interface", "--interfaces", "--config=x"},
		{"cannot be the name of an interface", "--interfaces", "../../x"},
		{"cannot be the name of an interface", "--interfaces", "lo\x1b[31m"},
		{"more than one line", "--interfaces", "lo\nX=1"},
		{"do not name others", "--interfaces", "any;lo"},
		{"no interface is named", "--interfaces", "; ;"},
		{"--interfaces needs a value", "--interfaces", ""},
		{"does not begin with /", "--data-dir", "data"},
		{": use letters, digits and _ .", "--data-dir", "/a b"},
		{": use letters, digits and _ .", "--data-dir", "/a:/etc"},
		{": use letters, digits and _ .", "--data-dir", "/${HOME}"},
		{": use letters, digits and _ .", "--data-dir", "/a\nX=1"},
		{"has . or ..", "--data-dir", "/a/../etc"},
		{"/ itself cannot be", "--data-dir", "//"},
		{"is not a folder", "--data-dir", "/etc/passwd"},
		{"a folder of its own", "--log-dir", "/data/ch/data/"},
		{"not a number of days", "--retention-days", "0"},
		{"not a number of days", "--retention-days", "-1"},
		{"not a number of days", "--retention-days", "08"},
		{"not a number of days", "--retention-days", "36501"},
		{"not a number of days", "--retention-days", "1; DROP TABLE x"},
		{"not a number of days", "--retention-days", "a[$(touch pwned)]"},
		{": use letters, digits and _ .", "--server-name", "a b"},
		{": use letters, digits and _ .", "--server-name", strings.Repeat("a", 64)},
		{"unknown option", "--interface", "lo"},
		{"unknown option", "\x1b]0;x\a"},
		{"needs a value", "--log-dir"},
	} {
		args := append([]string{"--output", file, "--server-name", "sensor"}, c[1:]...)
		out, ok := autobuild(t, []string{"INTERFACES=lo"}, args...)
		if ok || !strings.Contains(out, c[0]) || strings.ContainsAny(out, "\x1b\a") {
			t.Errorf("%q: %v %q, want %q", c[1:], ok, out, c[0])
		}
	}
	if out, ok := autobuild(t, nil, "--interfaces=lo", "--server-name=sensor", "--output", link); ok || !strings.Contains(out, "is not a regular file") {
		t.Errorf("a link: %v %s", ok, out)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 1 {
		t.Errorf("%v, %q", err, left)
	}
	if _, err := os.Stat("pwned"); err == nil {
		t.Error("an answer was executed")
	}
}

// asked runs the script on a terminal, and types an answer at each question.
func asked(t *testing.T, file string, answers ...[2]string) (shown string, ok bool) {
	t.Helper()
	term := pty.New(t, 120)
	cmd := exec.Command("./autobuild.sh", "--output", file)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = term.File, term.File, term.File
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	term.File.Close()
	seen := 0
	for _, a := range answers {
		await.True(t, "the question "+a[0], func() bool { return strings.Contains(term.Shown()[seen:], a[0]) })
		seen = len(term.Shown())
		term.Type(a[1])
	}
	err := cmd.Wait()
	return term.All(), err == nil
}

func TestAutobuildAsks(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), ".env")
	shown, ok := asked(t, file,
		[2]string{"Interfaces to capture from", "nosuch0\n"},
		[2]string{"there is no interface nosuch0", "lo\x1b[2J\n"},
		[2]string{"cannot be the name of an interface", "lo\n"},
		[2]string{"Folder for ClickHouse's data and the sensor's spool [/data/ch/data]:", "\n"},
		[2]string{"Folder for ClickHouse's log [/data/ch/logs]:", "/data/ch/data\n"},
		[2]string{"needs a folder of its own", "/data/ch/logs\n"},
		[2]string{"Days to keep records [30]:", "many\n"},
		[2]string{"not a number of days", "90\n"},
		[2]string{"Name of this sensor", "ns1\n"},
	)
	if !ok || strings.Contains(shown, "\x1b") {
		t.Fatalf("%q", shown)
	}
	want := written("lo", "ns1", "/data/ch/data", "/data/ch/logs", "90")
	if got := settings(t, file); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}

	// What the file has is kept by Enter.
	if shown, ok := asked(t, file, [2]string{"Change it?", "yes\n"}, [2]string{"any [lo]:", "\n"}, [2]string{"spool [/data/ch/data]:", "\n"},
		[2]string{"log [/data/ch/logs]:", "\n"}, [2]string{"records [90]:", "91\n"}, [2]string{"records [ns1]:", "\n"}); !ok {
		t.Errorf("%q", shown)
	}
	want = written("lo", "ns1", "/data/ch/data", "/data/ch/logs", "91")
	if got := settings(t, file); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	// Nobody says yes.
	for _, answer := range []string{"\n", "no\n", "yesterday\n", "\x04"} {
		shown, ok := asked(t, file, [2]string{"Change it?", answer})
		if ok || !strings.Contains(shown, "nothing is written") {
			t.Errorf("%q: %v %q", answer, ok, shown)
		}
	}
	// Somebody leaves in the middle.
	if shown, ok := asked(t, file, [2]string{"Change it?", "yes\n"}, [2]string{"Interfaces", "any\n"}, [2]string{"Folder for ClickHouse's data", "\x04"}); ok || !strings.Contains(shown, "no answer: nothing is written") {
		t.Errorf("%v %q", ok, shown)
	}
	if got := settings(t, file); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
