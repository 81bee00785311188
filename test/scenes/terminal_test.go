//go:build linux

package scenes

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/program"
	"dnsmonster-sensor/test/pty"
)

// attachOnTerminal starts a capture whose records and log go to terminals, without colours,
// and waits until it has begun.
func attachOnTerminal(t *testing.T, l *lab.Lab) (cmd *exec.Cmd, records, log *pty.Terminal) {
	t.Helper()
	records, log = pty.New(t, 120), pty.New(t, 120)
	cmd = program.CommandAsTyped(l.Server, "attach", l.Server.Iface)
	cmd.Env = append(cmd.Env, "NO_COLOR=1")
	cmd.Stdout, cmd.Stderr = records.File, log.File
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	records.File.Close()
	log.File.Close()
	await.True(t, "the sensor captures", func() bool { return strings.Contains(log.Shown(), "capturing") })
	return cmd, records, log
}

// TestAttachOnTerminal: a person sees queries and their responses as text, in the order of
// their times, while the sensor runs. After Ctrl-C the last line is whole.
func TestAttachOnTerminal(t *testing.T) {
	lab.Need(t, "kdig")
	l := lab.New(t)
	lab.StartKnot(t, l, lab.Zone{Names: 10})
	cmd, records, log := attachOnTerminal(t, l)
	begun := time.Now()
	for _, question := range []string{"h1.example.org", "h2.example.org", "nowhere.example.org"} {
		l.Client.Run(t, "kdig", "@"+l.Server.V4.String(), "+retry=0", "+time=5", question, "A")
	}
	lines := func() []string { return strings.Split(strings.TrimSuffix(records.Shown(), "\n"), "\n") }
	await.True(t, "six lines appear", func() bool { return len(lines()) >= 6 })
	t.Logf("six lines took %s", time.Since(begun))
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, log.Shown())
	}
	shown := records.All()
	query := regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{6} 192\.0\.2\.2:\d+ > 192\.0\.2\.1:53 udp \d+ \S+ A\? \S+\.example\.org\.$`)
	response := regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{6} 192\.0\.2\.1:53 > 192\.0\.2\.2:\d+ udp \d+ (\S+ )?(NOERROR A h\d\.example\.org\. = \d+\.\d+\.\d+\.\d+|NXDOMAIN A nowhere\.example\.org\.)$`)
	for i, line := range lines() {
		if want := []*regexp.Regexp{query, response}[i%2]; !want.MatchString(line) {
			t.Errorf("line %d is %q, want %s", i+1, line, want)
		}
	}
	if got := lines(); len(got) != 6 || !slices.IsSorted(got) || !strings.HasSuffix(shown, "\n") {
		t.Errorf("got %q, want six lines in order", shown)
	}
}

// TestTerminalCloses: a person closes the window. No traffic passes that could show it to the
// sensor, but the system sends SIGHUP.
func TestTerminalCloses(t *testing.T) {
	l := lab.New(t)
	cmd, records, log := attachOnTerminal(t, l)
	records.Close()
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("%v: %s", err, log.Shown())
		}
	case <-time.After(time.Minute):
		_ = cmd.Process.Kill()
		t.Fatalf("it still captures: %s", log.Shown())
	}
}
