//go:build linux

package lab

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Statsd is a running statsd_exporter on the loopback address: a statsd server that shows
// what it has received as Prometheus metrics.
type Statsd struct {
	*Daemon
	Addr       string // for statsd over UDP, host:port
	MetricsURL string
}

// StartStatsd starts the server, and waits until it answers.
func StartStatsd(t *testing.T) *Statsd {
	t.Helper()
	// install-tools.sh builds it into the checkout, unless the user has it already.
	if out, err := exec.Command("go", "env", "GOMOD", "GOPATH").Output(); err == nil {
		mod, path, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		t.Setenv("PATH", os.Getenv("PATH")+":"+filepath.Join(filepath.Dir(mod), "build", "tools")+":"+filepath.Join(path, "bin"))
	}
	Need(t, "statsd_exporter")
	web := fmt.Sprintf("127.0.0.1:%d", FreePort(t, "tcp"))
	s := &Statsd{Addr: fmt.Sprintf("127.0.0.1:%d", FreePort(t, "udp")), MetricsURL: "http://" + web + "/metrics"}
	s.Daemon = StartDaemon(t, exec.Command("statsd_exporter", "--statsd.listen-udp="+s.Addr, "--statsd.listen-tcp=", "--web.listen-address="+web, "--log.level=error"))
	s.Await("it listens", func() bool {
		c, err := net.DialTimeout("tcp", web, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return s
}
