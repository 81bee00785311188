//go:build linux

package scenes

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// TestTimeZonesWithoutADatabase: a container image may hold only the program.
func TestTimeZonesWithoutADatabase(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it hides the database of time zones")
	}
	file := packets.TempFile(t, packets.Queries(1))
	f := func(zone, tz, want string) {
		t.Helper()
		cmd := program.Command(nil, "replay", file, "--metricendpointtype=", "--timezone="+zone)
		cmd.Args = append([]string{"sh", "-c", `for d in /usr/share/zoneinfo /etc/zoneinfo /usr/lib/locale/TZ; do [ ! -d $d ] || mount -t tmpfs none $d || exit 9; done; exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
		cmd.Env = append(cmd.Environ(), "GOROOT="+t.TempDir(), "ZONEINFO=")
		if tz != "" {
			cmd.Env = append(cmd.Env, "TZ="+tz)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		out, err := cmd.CombinedOutput()
		if !strings.Contains(string(out), want) {
			t.Errorf("--timezone=%s with TZ=%q: lacks %s: %v\n%s", zone, tz, want, err, out)
		}
	}
	const day = `"Timestamp":"2023-11-1`
	f("Asia/Tokyo", "", "+09:00")
	f("UTC", "", day)
	f("local", "Asia/Tokyo", "+09:00")
	f("local", ":Asia/Tokyo", "+09:00")
	f("local", "UTC0", `dnsmonster-sensor: --timezone: the environment variable TZ is "UTC0"`)
	f("local", "Mars/Olympus", `dnsmonster-sensor: --timezone: the environment variable TZ is "Mars/Olympus": use a name of the time zone database, such as Europe/Berlin (from the command line)`)
	f("local", "/no/such", "dnsmonster-sensor: --timezone: local time cannot be read from /no/such: open /no/such: no such file or directory (from the command line)")
	f("local", "/etc/passwd", "dnsmonster-sensor: --timezone: local time cannot be read from /etc/passwd: malformed time zone information")
	f("Mars/Olympus", "", `dnsmonster-sensor: --timezone: unknown time zone "Mars/Olympus": use UTC, local, or a name of the time zone database, such as Europe/Berlin (from the command line)`)
	f("../../etc/passwd", "", `dnsmonster-sensor: --timezone: unknown time zone "../../etc/passwd": use UTC`)
}
