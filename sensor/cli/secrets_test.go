//go:build linux

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/test/lab"
)

// TestWriteConfigKeepsSecrets unless an option says otherwise, and then only the owner can
// read the file.
func TestWriteConfigKeepsSecrets(t *testing.T) {
	f := func(mode os.FileMode, holds bool, args ...string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "c.ini")
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"x", "run", "--zincoutputpassword=hush", "--writeconfig=" + path}, args...)
		var log bytes.Buffer
		if err := perform(newApp(io.Discard, &log), args, nil); err != nil {
			t.Fatal(err)
		}
		if text := log.String(); !strings.Contains(text, "wrote "+path+"\n") || strings.Contains(text, "left out, since they are secret: zincoutputpassword;") == holds || strings.Contains(text, "hush") {
			t.Errorf("%q says:\n%s", args, text)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("hush")) != holds || st.Mode().Perm() != mode {
			t.Errorf("%q: holds the secret %v, want %v; mode %o, want %o", args, !holds, holds, st.Mode().Perm(), mode)
		}
	}
	f(0o644, false)
	f(0o600, true, "--writesecrets")
}

// TestPasswordsAreSecret: no text shows the value of an option with such a name.
func TestPasswordsAreSecret(t *testing.T) {
	v, err := values([]string{"run"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, o := range v.All() {
		named := regexp.MustCompile("password|token|secret|credential|sharedkey|apikey|psqlendpoint").MatchString(o.Name) && o.SecretOf == "" && o.Section != ""
		if named != o.Secret {
			t.Errorf("%s: secret %v, want %v", o.Name, o.Secret, named)
		}
		if !o.Secret {
			continue
		}
		n++
		for _, secret := range []string{"hush", "postgres://user:hush@h:x/", `"hush`} {
			for _, args := range [][]string{
				{"run", "--" + o.Name + "=" + secret, "--pcapfile=/no/such", "--loglevel=9", "--" + strings.TrimSuffix(o.Section, "_output") + "outputtype=1"},
				{"replay", "--" + o.Name, secret, "/no/such", "--psqloutputtype=1"},
			} {
				var out, log bytes.Buffer
				if code := Main(append([]string{"x"}, args...), &out, &log); code != exitUsage || strings.Contains(out.String()+log.String(), "hush") {
					t.Errorf("%q: exit status %d, and it says\n%s%s", args, code, out.String(), log.String())
				}
			}
		}
		if file := v.Get(o.Name + "file"); file == nil || file.SecretOf != o.Name || !slices.Equal(file.Env, []string{o.Env[0] + "FILE"}) {
			t.Errorf("%s: no option for a file with it, or without its variable: %+v", o.Name, file)
		}
	}
	if n < 7 {
		t.Errorf("%d secrets, want at least those of dnsmonster's manual", n)
	}
}

// TestAdviceForSecretsExists: user information in a URL is secret, too, even if no option
// names a file for it.
func TestAdviceForSecretsExists(t *testing.T) {
	f := func(option, value, want string) {
		t.Helper()
		v, err := values([]string{"run", "--" + option + "=" + value}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want = option + ": everybody on this machine can read the command line: use " + want; !slices.Contains(v.Warnings, want) {
			t.Errorf("%q lacks %q", v.Warnings, want)
		}
	}
	f("splunkoutputendpoint", "http://me:hush@h", "the environment or a configuration file")
	f("skipdomainsfile", "https://me:hush@h/l", "the environment or a configuration file")
	for _, hush := range []string{"postgres://me:hush@h/d", "postgres://:hush@h/d", "postgres://me@h/d?Password=hush", "postgres://me@h/d?sslpassword=hush", "postgres://me/hush@h/d", "hush"} {
		f("psqlendpoint", hush, "--psqlendpointfile, the environment or a file")
	}
	for _, plain := range []string{"postgres://me@h/d", "postgresql://me@[2001:db8::1]:5432,h2/d?sslmode=verify-full", "postgres://h/d"} {
		if v, err := values([]string{"run", "--psqlendpoint=" + plain}, nil); err != nil || len(v.Warnings) > 0 {
			t.Errorf("%s: %v, %q", plain, err, v.Warnings)
		}
	}
}

// TestLogMasksSecrets in texts and errors of other packages.
func TestLogMasksSecrets(t *testing.T) {
	v, err := values([]string{"run", "--zincoutputpassword=hush/hush", "--influxoutputtoken=abc"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"text", "json", "plain"} {
		var b bytes.Buffer
		log, _ := (&processOptions{level: 3, format: format}).logger(&b, format == "plain", v.Mask)
		log.With("url", "http://x:hush/hush@h/").Error("login hush/hush", "error", fmt.Errorf("401: %w", errors.New("hush/hush")), "wait", time.Second, "token", "abcd")
		got := b.String()
		if strings.Contains(got, "hush") || strings.Count(got, "********") != 3 || !strings.Contains(got, "abcd") {
			t.Errorf("%s: %s", format, got)
		}
	}
}

// TestNoMessageShowsUserInformation of a URL with a password that is not escaped, or in an
// option that takes no URL.
func TestNoMessageShowsUserInformation(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	const mark = "ZQXJ"
	dir := t.TempDir()
	options := []string{"psqlendpoint", "skipdomainsfile", "metricprometheusendpoint", "metricstatsdagent", "splunkoutputendpoint", "kafkaoutputbroker", "syslogoutputendpoint", "zincoutputendpoint", "natsoutputserver", "dnstapsocket"}
	for i := range 300 {
		secret := mark
		for range 1 + r.IntN(3) {
			secret += []string{"@", "%", "/", ":", "?", "#", "12", "[", ",", "=", "'", `"`, `\`, " ", "\t"}[r.IntN(15)] + mark
		}
		text := []string{"postgres://", "http://", "https://", "tcp://"}[r.IntN(4)] + []string{"me:", "", "me:12/", "me:12?"}[r.IntN(4)] + secret + "@127.0.0.1:1/x"
		option := options[r.IntN(len(options))]
		path := filepath.Join(dir, "c.ini")
		lab.ReplaceFile(t, path, "pcapfile = /no/such\nstdoutoutputtype = 1\n"+[]string{option + " = ", "", "a line ", "[", "x"}[r.IntN(5)]+text+"\n")
		for _, args := range [][]string{
			{"run", "--pcapfile=/no/such", "--stdoutoutputtype=1", "--psqloutputtype=1", "--" + option + "=" + text},
			{"run", "--stdoutoutputtype=1", "--pcapfile=/no/such", text},
			{text}, {"replay", text}, {"postgres", "check", text}, {"run", "--config=" + path}, {"config", "check", path}, {"postgres", "sql", "--config=" + path, "--" + option, text},
		}[i%8 : i%8+1] {
			var out, log bytes.Buffer
			Main(append([]string{"x"}, args...), &out, &log)
			if all := out.String() + log.String(); strings.Contains(all, mark) {
				t.Fatalf("%q with %s: shown:\n%s", args, text, all)
			}
		}
	}
}
