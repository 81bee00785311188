//go:build linux

package lab

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/testlog"
)

// ClickHouse is a server on the loopback address: chDB's engine behind chproxy, or
// Debian's clickhouse-server.
type ClickHouse struct {
	Addr     string // for the native protocol, host:port
	TLSAddr  string // the same over TLS; "" without
	HTTPAddr string
	Dir      string // its files
	User     string // "" : default, without a password
	Password string
	Database string // that Query uses
	Log      testlog.Log

	untied  bool // the program itself sees the end of the test's process
	command func() *exec.Cmd
	cmd     *exec.Cmd
	done    chan struct{} // closed when cmd has ended
}

// ClickHouseError is an exception of a server.
type ClickHouseError struct {
	Code int
	Text string
}

func (e *ClickHouseError) Error() string { return e.Text }

// Start starts a server that does not run, with the files that it has, and waits until
// it answers.
func (c *ClickHouse) Start(t testing.TB) {
	t.Helper()
	if err := c.start(); err != nil {
		t.Fatal(err)
	}
}

func (c *ClickHouse) start() error {
	c.cmd, c.done = c.command(), make(chan struct{})
	c.cmd.Stdout, c.cmd.Stderr = &c.Log, &c.Log
	start := startTied
	if c.untied {
		start = (*exec.Cmd).Start
	}
	err := start(c.cmd)
	if stdin, ok := c.cmd.Stdin.(*os.File); ok {
		stdin.Close()
	}
	if err != nil {
		return err
	}
	cmd, done := c.cmd, c.done
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	ended := false
	if !await.Within(await.Limit, func() bool {
		select {
		case <-done:
			ended = true
		default:
		}
		return ended || c.answers()
	}) || ended {
		c.Kill()
		return fmt.Errorf("%s does not answer (ended: %v)\n%s%s", c.cmd, ended, c.Log.String(), c.errorLog())
	}
	return nil
}

func (c *ClickHouse) errorLog() string {
	text, _ := os.ReadFile(filepath.Join(c.Dir, "log", "err.log"))
	return string(text[max(0, len(text)-8000):])
}

func (c *ClickHouse) answers() bool {
	client := http.Client{Timeout: 2 * time.Second}
	answer, err := client.Get("http://" + c.HTTPAddr + "/ping")
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// Kill ends the server at once, as a crash does. It may be stopped, or have ended.
func (c *ClickHouse) Kill() {
	if c.cmd != nil && c.cmd.Process != nil {
		_ = c.cmd.Process.Kill()
		<-c.done
	}
}

// Restart kills the server and starts it.
func (c *ClickHouse) Restart(t testing.TB) {
	t.Helper()
	c.Kill()
	c.Start(t)
}

// Terminate ends the server in order, by SIGTERM.
func (c *ClickHouse) Terminate(t testing.TB) {
	t.Helper()
	c.signal(t, syscall.SIGTERM)
	await.True(t, "the server ends", func() bool {
		select {
		case <-c.done:
			return true
		default:
			return false
		}
	}, &c.Log)
}

// Stop makes the server do nothing: its kernel still accepts connections and bytes.
func (c *ClickHouse) Stop(t testing.TB) { c.signal(t, syscall.SIGSTOP) }

// Continue ends Stop.
func (c *ClickHouse) Continue(t testing.TB) { c.signal(t, syscall.SIGCONT) }

func (c *ClickHouse) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// PID is the server's process.
func (c *ClickHouse) PID() int { return c.cmd.Process.Pid }

// Query returns the rows that a query answers, as text. The query goes over HTTP, which
// no fault disturbs.
func (c *ClickHouse) Query(t testing.TB, sql string) [][]string {
	t.Helper()
	rows, err := c.Try(sql)
	if err != nil {
		t.Fatalf("%s\n%v", sql, err)
	}
	return rows
}

// Int returns the one number that a query answers.
func (c *ClickHouse) Int(t testing.TB, sql string) int {
	t.Helper()
	rows := c.Query(t, sql)
	if len(rows) != 1 || len(rows[0]) != 1 {
		t.Fatalf("%s: %d rows, want one number", sql, len(rows))
	}
	n, err := strconv.Atoi(rows[0][0])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// Exec runs statements.
func (c *ClickHouse) Exec(t testing.TB, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		c.Query(t, sql)
	}
}

// Try is Query for a query that may fail: with a *ClickHouseError if the server answers
// one.
func (c *ClickHouse) Try(sql string) ([][]string, error) {
	text, err := c.Raw(sql)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for line := range strings.Lines(string(text)) {
		row := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		for i := range row {
			row[i] = tsvUnescape.Replace(row[i])
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// Raw returns what the server answers, in the format that the query names at its end, or
// in TabSeparated.
func (c *ClickHouse) Raw(sql string) ([]byte, error) {
	where := url.URL{Scheme: "http", Host: c.HTTPAddr, Path: "/", RawQuery: url.Values{"database": {c.Database}}.Encode()}
	request, err := http.NewRequest(http.MethodPost, where.String(), strings.NewReader(sql))
	if err != nil {
		return nil, err
	}
	if c.User != "" {
		request.SetBasicAuth(c.User, c.Password)
	}
	client := http.Client{Timeout: await.Limit, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		e := &ClickHouseError{Text: strings.TrimSpace(string(text))}
		if _, err := fmt.Sscanf(e.Text, "Code: %d", &e.Code); err != nil {
			return nil, errors.Join(e, err)
		}
		return nil, e
	}
	return text, nil
}

var tsvUnescape = strings.NewReplacer(`\\`, `\`, `\'`, "'", `\n`, "\n", `\t`, "\t", `\r`, "\r", `\b`, "\b", `\f`, "\f", `\0`, "\x00")

// tempDir makes a folder that the end of the test removes, and that other users may
// enter.
func tempDir(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
