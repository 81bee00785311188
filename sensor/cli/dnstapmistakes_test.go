//go:build linux

package cli

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/program"
)

// TestDnstapIsChecked before anything is opened, also by config check: each error says what to
// do.
func TestDnstapIsChecked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "busy"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(want, address string, options ...string) {
		t.Helper()
		address, want = strings.ReplaceAll(address, "DIR", dir), strings.ReplaceAll(want, "DIR", dir)
		err := perform(newApp(io.Discard, io.Discard), slices.Concat([]string{"x", "dnstap", address}, options), nil)
		if err == nil || !strings.Contains(err.Error(), want) || statusOf(err) != exitUsage {
			t.Errorf("%s %q: error %v, want %s", address, options, err, want)
		}
		ini := filepath.Join(t.TempDir(), "x.ini")
		text := "[capture]\ndnstapsocket = " + address + "\n"
		for _, o := range options {
			text += strings.Replace(strings.TrimPrefix(o, "--"), "=", " = ", 1) + "\n"
		}
		if err := os.WriteFile(ini, []byte(text+"[stdout_output]\nstdoutoutputtype = 1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		code := Main([]string{"x", "config", "check", ini}, &out, io.Discard)
		if want = strings.Replace(want, "dnstap: ", "--dnstapsocket: ", 1); code != exitUsage || !strings.Contains(out.String(), "error: "+want) {
			t.Errorf("config check of\n%s: status %d, want %s:\n%s", text, code, want, out.String())
		}
	}
	f("dnstap: cannot listen at unix://DIR/no/s: open DIR/no: no such file or directory: make the folder first, or let systemd make it with RuntimeDirectory=", "unix://DIR/no/s")
	f("dnstap: cannot listen at unix://DIR/file: DIR/file exists and is not a socket: remove it, or use another path", "unix://DIR/file")
	f("dnstap: cannot listen at unix://DIR/busy: listen DIR/busy: a program listens on it already: another program, perhaps another sensor, listens there; stop it, or use another address", "unix://DIR/busy")
	f(`--dnstapgroup: there is no group "nobodies" for the socket: use a group of this host (getent group), or its number`, "unix://DIR/s", "--dnstapgroup=nobodies")
	f("--dnstapcertfile: open DIR/no: no such file or directory", "tls://127.0.0.1:0", "--dnstapcertfile="+dir+"/no", "--dnstapkeyfile="+dir+"/no")
	f("--dnstapcertfile: an address tls:// needs a certificate: set dnstapcertfile and dnstapkeyfile", "tls://127.0.0.1:0")
	f("--dnstapkeyfile: needs the file with its certificate, too: set dnstapcertfile", "tls://127.0.0.1:0", "--dnstapkeyfile="+dir+"/file")
}

// TestDnstapReload: SIGHUP is not refused because the sensor itself listens. Options of
// sockets need a restart, and broken certificates are named and not used.
func TestDnstapReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := lab.NewAuthority(t).Issue("sensor", "127.0.0.1")
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	ours, ini := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "x.ini")
	lab.ReplaceFile(t, ours, string(pem))
	config := func(more string) {
		t.Helper()
		lab.ReplaceFile(t, ini, "[capture]\ndnstapsocket = unix://"+dir+"/s,tls://127.0.0.1:0\ndnstapcertfile = "+ours+"\ndnstapkeyfile = "+key+"\n"+more+
			"[stdout_output]\nstdoutoutputtype = 1\n")
	}
	config("")
	p := program.Start(t, nil, "run", "--config="+ini)
	p.WaitFor(`msg="receiving dnstap" addresses="unix://` + dir + "/s tls://127.0.0.1:")
	config("dnstaptypes = client\ndnstappermission = 0770\n")
	p.Signal(syscall.SIGHUP)
	p.WaitFor(`msg="reload: these options take effect only at the next start" options="dnstappermission, dnstaptypes"`)
	p.WaitFor(`msg=reloaded changed=nothing`)
	lab.ReplaceFile(t, ours, "no certificate")
	p.Signal(syscall.SIGHUP)
	p.WaitFor("the ones that were read before stay in use: dnstapcertfile: " + ours + ": no certificate in it")
	p.Signal(syscall.SIGTERM)
	p.Wait(time.Minute).Expect(t, exitOK)
}
