//go:build linux

package lab

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"dnsmonster-sensor/test/chproxy/fault"
	"dnsmonster-sensor/test/lab/tier"
)

// ChDB is a modern ClickHouse server: chproxy, a process of its own.
type ChDB struct {
	ClickHouse
	input *os.File // its end ends the server
}

// ChDBOptions are what a server can have. The zero value is a server without TLS, of the
// newest revision, whose user default needs no password.
type ChDBOptions struct {
	Users    map[string]string // passwords by name, instead of default
	TLS      *Authority        // signs a certificate for 127.0.0.1 and db.example.org
	Revision int               // of the protocol, at most
}

// StartChDB starts a server for one test. Where the engine is not installed the test is
// skipped; in CI that is a failure.
func StartChDB(t testing.TB, o ChDBOptions) *ChDB {
	t.Helper()
	program, library := findChDB(t)
	dir, err := chdbFolder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c, err := newChDB(program, library, dir, o, t)
	if err == nil {
		err = c.start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Kill()
		c.input.Close()
	})
	return c
}

var shared struct {
	sync.Mutex
	server    *ChDB
	databases atomic.Int64
}

// SharedChDB is a server that the tests of a package share, with a database of the
// test's own. No test may disturb it. It ends with the test's process.
func SharedChDB(t testing.TB) *ChDB {
	t.Helper()
	program, library := findChDB(t)
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		dir, err := chdbFolder()
		if err != nil {
			t.Fatal(err)
		}
		c, err := newChDB(program, library, dir, ChDBOptions{}, nil)
		if err == nil {
			err = c.start()
		}
		if err != nil {
			os.RemoveAll(dir)
			t.Fatal(err)
		}
		shared.server = c
	}
	s := shared.server
	c := &ChDB{ClickHouse: ClickHouse{Addr: s.Addr, HTTPAddr: s.HTTPAddr, Database: fmt.Sprintf("test%d", shared.databases.Add(1))}}
	s.Exec(t, "CREATE DATABASE "+c.Database)
	t.Cleanup(func() { s.Exec(t, "DROP DATABASE IF EXISTS "+c.Database) })
	return c
}

// chdbFolder makes a folder for a server: in memory, if that has room. On a disk a third of
// the processor time of the tests would go into files that exist for a moment.
func chdbFolder() (string, error) {
	const memory, room = "/dev/shm", 2 << 30
	var st syscall.Statfs_t
	if os.Getenv(tier.Variable) != tier.Large && syscall.Statfs(memory, &st) == nil && st.Bavail*uint64(st.Bsize) >= room {
		if dir, err := os.MkdirTemp(memory, "chdb"); err == nil {
			return dir, nil
		}
	}
	return os.MkdirTemp("", "chdb")
}

// newChDB describes a server. t is nil for one that outlives its test, and removes its
// folder itself.
func newChDB(program, library, dir string, o ChDBOptions, t testing.TB) (*ChDB, error) {
	ports := [3]int{}
	for i := range ports {
		var err error
		if ports[i], err = freePort("tcp"); err != nil {
			return nil, err
		}
	}
	c := &ChDB{}
	c.Dir, c.Database = dir, "default"
	c.Addr, c.HTTPAddr = fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	args := []string{"-library", library, "-data", filepath.Join(dir, "data"), "-listen", c.Addr, "-http", c.HTTPAddr}
	for name, password := range o.Users {
		args = append(args, "-user", name+":"+password)
		c.User, c.Password = name, password
	}
	if o.Revision > 0 {
		args = append(args, "-revision", strconv.Itoa(o.Revision))
	}
	if o.TLS != nil {
		c.TLSAddr = fmt.Sprintf("127.0.0.1:%d", ports[2])
		cert, key := o.TLS.Issue("chproxy", "127.0.0.1", "db.example.org")
		args = append(args, "-tls", c.TLSAddr, "-cert", cert, "-key", key)
	}
	if t == nil {
		args = append(args, "-remove", dir)
		c.untied = true
	}
	c.command = func() *exec.Cmd {
		cmd := exec.Command(program, args...)
		cmd.Dir = dir
		r, w, err := os.Pipe()
		if err == nil {
			if c.input != nil {
				c.input.Close()
			}
			cmd.Stdin, c.input = r, w
		}
		return cmd
	}
	return c, nil
}

// SetFaults replaces the faults of the server; no arguments end all of them.
func (c *ChDB) SetFaults(t testing.TB, list ...fault.Fault) {
	t.Helper()
	text, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	c.control(t, http.MethodPost, "/fault", text)
}

// Inserts returns the INSERTs that have brought data and ended since the last call.
func (c *ChDB) Inserts(t testing.TB) (list []fault.Insert) {
	t.Helper()
	if err := json.Unmarshal(c.control(t, http.MethodGet, "/inserts", nil), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func (c *ChDB) control(t testing.TB, method, path string, body []byte) []byte {
	t.Helper()
	request, err := http.NewRequest(method, "http://"+c.HTTPAddr+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %v %s: %s", method, path, err, answer.Status, text)
	}
	return text
}

// findChDB builds chproxy, and finds the engine.
func findChDB(t testing.TB) (program, library string) {
	t.Helper()
	tools, err := toolsFolder()
	if err != nil {
		t.Fatal(err)
	}
	library = filepath.Join(tools, "libchdb.so")
	if _, err := os.Stat(library); err != nil {
		missing(t, "chDB is not installed (packaging/dev/install-tools.sh test does that): "+err.Error())
	}
	program, err = buildChproxy()
	if err != nil {
		t.Fatal(err)
	}
	return program, library
}

// toolsFolder is build/tools of the checkout, where install-tools.sh puts what Debian
// does not have.
var toolsFolder = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	return filepath.Join(filepath.Dir(strings.TrimSpace(string(out))), "build", "tools"), nil
})

// buildChproxy builds the server into build/tools, unless it is there and up to date.
var buildChproxy = sync.OnceValues(func() (string, error) {
	tools, err := toolsFolder()
	if err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(tools, "chproxy.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil { // tests of other packages build it, too
		return "", err
	}
	program := filepath.Join(tools, "chproxy")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", program, "./test/chproxy")
	cmd.Dir = filepath.Dir(filepath.Dir(tools))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build chproxy: %w\n%s", err, out)
	}
	return program, nil
})
