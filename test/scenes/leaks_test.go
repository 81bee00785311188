//go:build linux

package scenes

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/test/program"
)

// holdings is what a sensor holds: descriptors by kind (BPF links, programs and maps among
// them), packet sockets of its namespace, and goroutines.
func holdings(t *testing.T, p *program.Process, host *lab.Host) string {
	t.Helper()
	kinds := make(map[string]int)
	dir := fmt.Sprintf("/proc/%d/fd", p.Cmd.Process.Pid)
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if target, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && target[0] != '/' { // files are those of the output
			kinds[strings.TrimRight(target, "[]0123456789")]++
		}
	}
	sockets, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/packet", p.Cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%v, %d packet sockets, %s goroutines", kinds, strings.Count(string(sockets), "\n")-1, goMetric(t, host, "go_goroutines"))
}

// metricsPort is where the sensors of these tests serve metrics, each in its own namespace.
const metricsPort = "2112"

// goMetric asks a sensor inside a host for one number of its metrics.
func goMetric(t *testing.T, host *lab.Host, name string) string {
	t.Helper()
	cmd := host.Command(context.Background(), "bash", "-c", `exec 3<>/dev/tcp/127.0.0.1/`+metricsPort+` && printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3 && cat <&3`)
	out, err := cmd.Output()
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(string(out))
	if err != nil || m == nil {
		t.Fatalf("no %s: %v\n%s", name, err, out)
	}
	return m[1]
}

// residentMB is the memory of a running process, in MiB.
func residentMB(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize() >> 20
}

// TestAttachLeaksNothing: however many interfaces come and go, the sensor holds nothing of
// those that are gone, in any mode.
func TestAttachLeaksNothing(t *testing.T) {
	t.Parallel()
	const batch = 20
	cycles := tier.Length(batch, 200)
	if n, err := strconv.Atoi(os.Getenv("SENSOR_TEST_CYCLES")); err == nil { // by hand
		cycles = n
	}
	for _, mode := range modesHere(t) {
		t.Run(mode, func(t *testing.T) {
			l := lab.New(t)
			var add strings.Builder
			for i := range batch {
				fmt.Fprintf(&add, "link add d%d up group 7 type veth peer name x%d\n", i, i)
			}
			file := filepath.Join(t.TempDir(), "add")
			if err := os.WriteFile(file, []byte(add.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			p := program.Start(t, l.Server, "attach", l.Server.Iface, "d*", "--wait", "--mode="+mode,
				"--metricprometheusendpoint=http://127.0.0.1:"+metricsPort+"/metrics")
			p.WaitForCapture()
			done := 0
			cycle := func() {
				l.Server.Run(t, "ip", "-batch", file)
				done += batch
				waitForLogLines(p, done, `msg="interface is captured"`, "interface=d")
				l.Server.Run(t, "ip", "link", "del", "group", "7")
				waitForLogLines(p, done, `msg="interface is gone"`, "interface=d")
			}
			before := ""
			await.True(t, "the start is over", func() bool {
				last := before
				before = holdings(t, p, l.Server)
				time.Sleep(100 * time.Millisecond) // between two looks
				return before == last
			})
			cycle()
			memory, began := residentMB(t, p.Cmd.Process.Pid), time.Now()
			for done < batch+cycles {
				cycle()
			}
			took := time.Since(began)
			if after := ""; !await.Within(10*time.Second, func() bool { after = holdings(t, p, l.Server); return after == before }) {
				t.Errorf("after %d cycles it holds\n%s, before\n%s", cycles, after, before)
			}
			now := residentMB(t, p.Cmd.Process.Pid)
			if now > memory+20+cycles/500 { // the names of interfaces that are gone are kept, up to 16,384
				t.Errorf("memory grew from %d MiB to %d", memory, now)
			}
			t.Logf("%d cycles in %s, memory %d MiB before and %d after, holds %s", cycles, took.Round(time.Millisecond), memory, now, before)
			p.Stop().Expect(t, program.ExitOK)
			if got := attachedTo(t, l.Server); got != "" {
				t.Errorf("left after a stop: %q", got)
			}
		})
	}
}
