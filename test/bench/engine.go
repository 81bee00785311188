//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"

	"dnsmonster-sensor/test/chproxy/fault"
)

// engine is a ClickHouse server of its own process: chproxy.
type engine struct {
	address, http string
	dir           string
	input         io.Closer // its end ends the server
	cmd           *exec.Cmd
	log           bytes.Buffer // once the server has ended
}

// startEngine starts a server with empty databases.
func startEngine(ctx context.Context, tools string) (*engine, error) {
	library, err := filepath.Abs(filepath.Join(tools, "libchdb.so"))
	if err != nil {
		return nil, err
	}
	e := &engine{}
	for _, to := range []*string{&e.address, &e.http} {
		if *to, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	if e.dir, err = os.MkdirTemp("", "bench-clickhouse"); err != nil {
		return nil, err
	}
	e.cmd = exec.CommandContext(ctx, filepath.Join(tools, "chproxy"), "-library", library, "-data", filepath.Join(e.dir, "data"), "-listen", e.address, "-http", e.http)
	e.cmd.Stdout, e.cmd.Stderr = &e.log, &e.log
	if e.input, err = e.cmd.StdinPipe(); err == nil {
		err = e.cmd.Start()
	}
	if err != nil {
		os.RemoveAll(e.dir)
		return nil, err
	}
	for range 600 {
		if e.get("/ping") == nil {
			return e, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	e.stop()
	return nil, fmt.Errorf("%s does not answer:\n%s", e.cmd, e.log.Bytes())
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// stop ends the server, and removes its files.
func (e *engine) stop() {
	e.input.Close()
	_ = e.cmd.Process.Kill()
	_ = e.cmd.Wait()
	os.RemoveAll(e.dir)
}

func (e *engine) get(path string) error { return answered(http.Get("http://" + e.http + path)) }

func (e *engine) post(path, body string) error {
	return answered(http.Post("http://"+e.http+path, "", bytes.NewReader([]byte(body))))
}

func answered(a *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err == nil && a.StatusCode != http.StatusOK {
		err = errors.New(string(text))
	}
	return err
}

// discard lets the server read and acknowledge rows without storing them, or ends that.
func (e *engine) discard(on bool) error {
	list := []fault.Fault{}
	if on {
		list = append(list, fault.Fault{Do: fault.Discard})
	}
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return e.post("/fault", string(text))
}

// counter passes connections on to a server and counts the bytes that it gets.
type counter struct {
	net.Listener
	bytes atomic.Int64
}

func count(to string) (*counter, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &counter{Listener: l}
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go c.pass(from, to)
		}
	}()
	return c, nil
}

func (c *counter) pass(from net.Conn, address string) {
	defer from.Close()
	to, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer to.Close()
	go func() {
		_, _ = io.Copy(from, to) // ends with to
	}()
	n, _ := io.Copy(to, from)
	c.bytes.Add(n)
}
