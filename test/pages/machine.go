//go:build linux

package pages

import (
	"context"
	"crypto/tls"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dnsmonster-sensor/test/lab"
)

//go:embed machine.sh
var setup string

// machine is where one page's commands run: the client of a lab, whose server answers for
// example.org. Questions pass its eth0 all the time.
type machine struct {
	*shell
	lab      *lab.Lab
	asked    atomic.Int64 // rounds of questions that were answered
	commands int
}

// newMachine makes the machine that a page needs.
func newMachine(t *testing.T, root string, p *Page) *machine {
	t.Helper()
	lab.Need(t, "bash", "kdig", "tcpdump", "editcap", "zstd", "gzip", "jq")
	m := &machine{lab: lab.New(t)}
	c := m.lab.Client
	c.Down(t)
	c.Run(t, "ip", "link", "set", c.Iface, "name", "eth0")
	c.Iface = "eth0"
	c.Up(t)
	if p.names(" eth1") {
		c.Run(t, "ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth2")
		c.Run(t, "ip", "link", "set", "eth1", "up")
		c.Run(t, "ip", "link", "set", "eth2", "up")
	}
	lab.StartKnot(t, m.lab, lab.Zone{Names: 10})
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := c.Command(context.Background(), "unshare", "--mount", "--uts", "--ipc", "bash", "-c", setup, "machine.sh", t.TempDir(), exe)
	m.shell = startShell(t, cmd)
	m.await(t, "the machine of the page", time.Minute)
	m.next()

	m.captureFiles(t, root)
	m.configuration(t, root)
	ca := lab.NewAuthority(t)
	m.copy(t, ca.File, "/etc/ssl/db-ca.crt", "/etc/ssl/certs/db-ca.pem")
	others := configuration
	if p.names("db.example.org") && (p.names("postgres") || p.names("psql")) || p.names("--psqltable") {
		m.postgres(t, ca)
		others = postgresConfiguration
	}
	if p.names("clickhouse init") || p.names("clickhouse check") {
		m.clickHouse(t, ca, others)
	}
	if p.names("lists.example.org") {
		m.listServer(t, ca)
	}
	if p.names("spool ") {
		m.spool(t)
	}
	m.ask(t)
	return m
}

// spool leaves records for a database that is down, as an earlier run of the sensor would.
func (m *machine) spool(t *testing.T) {
	t.Helper()
	m.do(t, `mkdir -m 700 /var/lib/dnsmonster-sensor/spool
for seconds in 0.3 1 4 16; do # until it had the time to read the file
  timeout -s INT $seconds dnsmonster-sensor replay day.pcap --spooldir=/var/lib/dnsmonster-sensor/spool --grace=10ms \
    --psqloutputtype=1 --psqlendpoint=postgres://sensor@127.0.0.1:1/dns 2>/run/page/log
  ! grep -q . /var/lib/dnsmonster-sensor/spool/psql/*.blocks 2>/dev/null || break
done`)
}

// names reports whether a command or a file of the page names a host.
func (p *Page) names(host string) bool {
	for _, s := range p.Steps {
		if s.Skip == "" && strings.Contains(s.Command+s.Text, host) {
			return true
		}
	}
	return false
}

// path is where a file of the machine is on the host.
func (m *machine) path(name string) string {
	if !filepath.IsAbs(name) {
		name = filepath.Join("/root", name)
	}
	return filepath.Join(fmt.Sprintf("/proc/%d/root", m.cmd.Process.Pid), name)
}

func (m *machine) write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(m.path(name), content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) copy(t *testing.T, from string, names ...string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		m.write(t, name, content)
	}
}

// captureFiles writes the capture files that pages name.
func (m *machine) captureFiles(t *testing.T, root string) {
	t.Helper()
	captures := filepath.Join(root, "userspace/worker/testdata")
	m.copy(t, filepath.Join(captures, "udp.pcap"), "day.pcap")
	m.copy(t, filepath.Join(captures, "tcp.pcap"), "monday.pcap")
	m.copy(t, filepath.Join(captures, "vxlan.pcap"), "tuesday.pcap")
	m.copy(t, filepath.Join(captures, "fragments.pcap"), "wednesday.pcap")
	m.do(t, "editcap -F pcapng tuesday.pcap tuesday.pcapng && gzip tuesday.pcapng && zstd -q --rm wednesday.pcap && rm tuesday.pcap")
}

// configuration is what a machine has that runs a sensor.
const configuration = `[capture]
devname = eth0

[stdout_output]
stdoutoutputtype = 1
`

func (m *machine) configuration(t *testing.T, root string) {
	t.Helper()
	m.write(t, "/etc/dnsmonster.ini", []byte(configuration))
	m.write(t, "dnsmonster.ini", []byte(configuration))
	m.copy(t, filepath.Join(root, "packaging/skipdomains.csv.sample"),
		"/etc/dnsmonster-sensor/skipdomains.csv", "/etc/dnsmonster-sensor/allowdomains.csv", "skip.csv", "skipdomains.csv", "watch.csv")
}

// listServer serves lists of domains as https://lists.example.org.
func (m *machine) listServer(t *testing.T, ca *lab.Authority) {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(ca.Issue("lists", "lists.example.org"))
	if err != nil {
		t.Fatal(err)
	}
	l := m.listen(t, "443")
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "example.org,suffix\n") }),
	}
	t.Cleanup(func() { server.Close() })
	go server.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}}))
}

func (m *machine) listen(t *testing.T, port string) (l net.Listener) {
	t.Helper()
	err := m.lab.Server.Do(func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(m.lab.Server.V4.String(), port))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func (m *machine) serve(t *testing.T, port string, handle func(net.Conn)) {
	t.Helper()
	lab.ServeOn(m.listen(t, port), handle)
}

// askEvery is the pause between two rounds of questions.
const askEvery = 20 * time.Millisecond

// ask sends questions over UDP, with and without EDNS, and over TCP, until the test ends.
func (m *machine) ask(t *testing.T) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for id := uint16(1); ; id++ {
			select {
			case <-stop:
				return
			case <-time.After(askEvery):
				if m.round(id) == nil {
					m.asked.Add(1)
				}
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-done
	})
}

// round asks a few questions, and waits for the answers.
func (m *machine) round(id uint16) error {
	edns := append(lab.Query{Name: "www.example.org", Type: "AAAA"}.Message(), 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0)
	edns[11] = 1
	mx := lab.Query{Name: "example.org", Type: "A"}.Message()
	mx[len(mx)-3] = 15
	return errors.Join(
		m.question("udp", m.lab.Server.V4, id, lab.Query{Name: "www.example.org", Type: "A"}.Message()),
		m.question("udp", m.lab.Server.V4, id, mx),
		m.question("udp", m.lab.Server.V4, id, lab.Query{Name: "no.example.org", Type: "A"}.Message()),
		m.question("udp", m.lab.Server.V6, id, edns),
		m.question("tcp", m.lab.Server.V4, id, lab.Query{Name: "example.org", Type: "TXT"}.Message()))
}

func (m *machine) question(network string, to netip.Addr, id uint16, message []byte) error {
	binary.BigEndian.PutUint16(message, id)
	message[3] |= 0x20 // AD, as dig asks
	if network == "tcp" {
		message = append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
	}
	var conn net.Conn
	err := m.lab.Client.Do(func() (err error) {
		conn, err = net.DialTimeout(network, netip.AddrPortFrom(to, 53).String(), time.Second)
		return err
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write(message); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 512))
	return err
}
