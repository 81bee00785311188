//go:build linux

package dnstap

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/outputs/safefs"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/testlog"
)

func TestParseAddress(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		a, err := ParseAddress(text)
		got := a.String()
		if err != nil {
			got = err.Error()
		}
		if err == nil && got != want || err != nil && (want == "" || !strings.Contains(got, want)) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	f("unix:///run/x.sock", "unix:///run/x.sock")
	f("unix:/run//x.sock", "unix:///run/x.sock")
	f("/run/x.sock", "unix:///run/x.sock")
	f("unix://@name", "unix://@name")
	f("tcp://127.0.0.1:6000", "tcp://127.0.0.1:6000")
	f("TCP://localhost:06000/", "tcp://localhost:6000")
	f("tls://[::]:6001", "tls://[::]:6001")
	f("tcp://:6000", "tcp://:6000")
	f("", "this is not an address: use unix:///PATH")
	f("127.0.0.1:6000", "this is not an address")
	f("udp://127.0.0.1:6000", `"udp" is not supported`)
	f("unix://", "the path of the socket is missing")
	f("unix://run/x.sock", "a socket needs its full path")
	f("unix:///run/", "this is the path of a folder")
	f("unix:///"+strings.Repeat("x", 107), "has at most 107 bytes, and this one has 108")
	f("tcp://2001:db8::1:6000", "an IPv6 address in brackets")
	f("tcp://127.0.0.1", "tcp needs HOST:PORT")
	f("tcp://127.0.0.1:dns", "a port is a number")
	f("tcp://127.0.0.1:65536", "a port is a number")
	f("tcp://me@host:6000", "not a host name or address")
}

// TestCheck: Check and Open name what is wrong, and how to put it right.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	used, err := net.Listen("unix", dir+"/used")
	if err != nil {
		t.Fatal(err)
	}
	defer used.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	if err := os.WriteFile(dir+"/file", []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(want string, checked bool, o Options) {
		t.Helper()
		o.Log = slog.New(slog.DiscardHandler)
		if err := errors.Join(Check(o)...); checked && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v: Check says %v, want %q", o.Addresses, err, want)
		}
		s, err := Open(o)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: Open says %v, want %q", o.Addresses, err, want)
		}
	}
	f("no address", true, Options{})
	f("this is the same address", true, Options{Addresses: []string{"tcp://127.0.0.1:6000", "tls://127.0.0.1:6000"}})
	f("a host and a port from 1 to 65535 are needed", true, Options{Dial: true, Addresses: []string{"tcp://:6000"}})
	f("a program listens on it already: another program, perhaps another sensor", true, Options{Addresses: []string{"unix://" + dir + "/used"}})
	f("exists and is not a socket", true, Options{Addresses: []string{"unix://" + dir + "/file"}})
	f("make the folder first", true, Options{Addresses: []string{"unix://" + dir + "/no/socket"}})
	f(`there is no group "no-such-group"`, true, Options{Addresses: []string{"unix://" + dir + "/s"}, Group: "no-such-group"})
	f("a tls address needs a certificate", true, Options{Addresses: []string{"tls://127.0.0.1:0"}})
	f("another program, perhaps another sensor", false, Options{Addresses: []string{"unix://" + dir + "/s", "tcp://" + tcp.Addr().String()}})
	f("this host does not have that address", false, Options{Addresses: []string{"tcp://192.0.2.1:6000"}})
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("left: %v", entries)
	}
	if list := Check(Options{Addresses: []string{"unix://" + dir + "/s", "tcp://127.0.0.1:0"}}); list != nil {
		t.Error(list)
	}
}

// TestSocketOfNoUse: the socket is what the user lacks a right to, not its folder.
func TestSocketOfNoUse(t *testing.T) {
	err := cannotListen(Address{"unix", "/run/s"}, &fs.PathError{Op: "connect", Path: "/run/s", Err: syscall.EACCES})
	if !strings.Contains(err.Error(), "remove it if it is left over") {
		t.Error(err)
	}
}

// TestTwoSensors: the second one is refused while the first one runs, and its socket stays
// the first one's.
func TestTwoSensors(t *testing.T) {
	o := Options{Addresses: []string{"unix://" + filepath.Join(t.TempDir(), "s")}, Mode: 0o620, Group: "7"}
	r := receive(t, o, usual)
	o.Log = slog.New(slog.DiscardHandler)
	if _, err := Open(o); !errors.Is(err, safefs.ErrInUse) {
		t.Errorf("the second sensor: %v", err)
	}
	if !r.Senders().Files {
		t.Error("the socket's mode is not said to be ours")
	}
	send(t, r.connect(), start, frame(10), stop)
	r.awaitFrames(1)
}

// TestSocketFileGoes: somebody is told, once.
func TestSocketFileGoes(t *testing.T) {
	for what, undo := range map[string]func(path string) error{
		"removed":  os.Remove,
		"replaced": func(path string) error { return errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600)) },
		"moved":    func(path string) error { return os.Rename(filepath.Dir(path), filepath.Dir(path)+".old") },
	} {
		path := filepath.Join(t.TempDir(), "folder", "s")
		if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		r := receive(t, Options{Addresses: []string{"unix://" + path}}, hasty)
		if err := undo(path); err != nil {
			t.Fatal(err)
		}
		const warning = "no server can connect to it any more"
		await.True(t, what+" is told", func() bool { return r.log.Count(warning) > 0 }, r.log)
		time.Sleep(50 * time.Millisecond)
		if err := r.Close(); err != nil || r.log.Count(warning) != 1 {
			t.Errorf("%s: told %d times, error %v", what, r.log.Count(warning), err)
		}
	}
}

// TestActivation: sockets of systemd are used by the addresses that they are bound to,
// and left as they are. The test runs itself as the sensor.
func TestActivation(t *testing.T) {
	if os.Getenv("DNSTAP_TEST_PATH") != "" {
		activated(t)
		return
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	spare, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer spare.Close()
	var files []*os.File
	for _, l := range []net.Listener{l, tcp, spare} {
		f, err := l.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	// The shell's pid becomes the test's.
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=3 LISTEN_FDNAMES=tap.socket:x:spare exec "$0" -test.run='^TestActivation$' -test.v`, os.Args[0])
	cmd.Env = append(os.Environ(), "DNSTAP_TEST_PATH="+path, "DNSTAP_TEST_TCP="+tcp.Addr().String(), "DNSTAP_TEST_SPARE="+spare.Addr().String())
	cmd.ExtraFiles = files
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "activated: 2 frames") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the passed socket was removed: %v", err)
	}
	nc, err := net.Dial("unix", path) // waits for the next sensor
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
}

// activated is the sensor of TestActivation.
func activated(t *testing.T) {
	path, tcp := os.Getenv("DNSTAP_TEST_PATH"), os.Getenv("DNSTAP_TEST_TCP")
	o := Options{Addresses: []string{"unix://" + path, "tcp://" + tcp}}
	if list := Check(o); list != nil {
		t.Fatal(list)
	}
	for i := range 2 { // the second sensor of a process gets them, too
		r := receive(t, o, usual)
		for j := range 2 {
			nc := r.connectTo(j)
			send(t, nc, start, frame(10), stop)
		}
		r.awaitFrames(2)
		if n := r.log.Lines("systemd has passed a socket that no address names", os.Getenv("DNSTAP_TEST_SPARE"), "spare"); n != 1 {
			t.Errorf("the spare socket is not named:\n%s", r.log)
		}
		r.end()
		if _, err := os.Lstat(path); err != nil {
			t.Fatal(err)
		}
		if r.Senders().Files {
			t.Error("the mode of a passed socket is said to be ours")
		}
		if i == 1 {
			fmt.Printf("activated: %d frames\n", r.count())
		}
	}
}

// TestPassedAddress: which addresses use a passed socket.
func TestPassedAddress(t *testing.T) {
	f := func(bound, address string, want bool) {
		t.Helper()
		l, err := net.Listen("tcp", bound)
		if err != nil {
			t.Skip(err)
		}
		defer l.Close()
		at := l.Addr().(*net.TCPAddr).AddrPort()
		a, err := ParseAddress(strings.ReplaceAll(address, "PORT", fmt.Sprint(at.Port())))
		if err != nil {
			t.Fatal(err)
		}
		if (&passedSocket{bound: at}).is(a) != want {
			t.Errorf("%s for %s: want %v", address, bound, want)
		}
	}
	f("127.0.0.1:0", "tcp://127.0.0.1:PORT", true)
	f("127.0.0.1:0", "tls://localhost:PORT", true)
	f("127.0.0.1:0", "tcp://127.0.0.2:PORT", false)
	f("127.0.0.1:0", "tcp://127.0.0.1:1", false)
	f("127.0.0.1:0", "unix:///run/s", false)
	f("[::]:0", "tcp://[::]:PORT", true)
	f("[::]:0", "tls://:PORT", true)
	f("[::1]:0", "tcp://[::]:PORT", false)
	f("0.0.0.0:0", "tcp://0.0.0.0:PORT", true)
}

// TestLimit: senders that connect in vain cost a line each minute, not one each time.
func TestLimit(t *testing.T) {
	r := receive(t, Options{Addresses: []string{"tcp://127.0.0.1:0"}}, usual)
	for i := range 20 {
		nc := r.connect()
		send(t, nc, []byte("GET / HTTP/1.1\r\n\r\n"))
		ends(t, nc)
		r.awaits("handshake_protocol", uint64(i+1))
	}
	await.True(t, "the connections end", func() bool { return r.meter("connections_open") == 0 })
	if n := r.log.Count("it speaks HTTP"); n != 1 {
		t.Errorf("%d lines:\n%s", n, r.log)
	}
}

// TestLimitOfFiles: where few files may be open, fewer senders are allowed, and a line says
// so.
func TestLimitOfFiles(t *testing.T) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil || r.Max >= 1<<30 {
		t.Skipf("the limit is %d: %v", r.Max, err)
	}
	var log testlog.Log
	o := Options{MaxConnections: 1 << 30, Log: slog.New(slog.NewTextHandler(&log, nil))}
	if n := maxConnections(o); uint64(n) >= r.Max || n < 1 || log.Count("LimitNOFILE=") != 1 {
		t.Errorf("%d connections with %d files\n%s", n, r.Max, &log)
	}
	if o.MaxConnections = 1; maxConnections(o) != 1 || log.Count("LimitNOFILE=") != 1 {
		t.Errorf("one connection is too much:\n%s", &log)
	}
}
