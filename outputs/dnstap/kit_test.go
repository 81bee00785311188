//go:build linux

package dnstap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	framestream "github.com/farsightsec/golang-framestream"
	"golang.org/x/sys/unix"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/userspace/dnstap"
	"dnsmonster-sensor/userspace/event"
)

// receiver takes frames with golang-framestream.
type receiver struct {
	listener net.Listener
	done     sync.WaitGroup

	mu     sync.Mutex
	frames []string
	conns  []net.Conn
	fail   int           // connections that are closed instead of an answer
	hang   chan struct{} // closed while it answers
}

func closed() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func serve(t outputtest.T, l net.Listener) *receiver {
	r := &receiver{listener: l, hang: closed()}
	r.done.Go(r.accept)
	t.Cleanup(r.stop)
	return r
}

func listen(t outputtest.T, network, where string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, where)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return l
}

// socket returns the path of a new socket.
func socket(t outputtest.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dnstap")
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func (r *receiver) stop() {
	r.listener.Close()
	r.mu.Lock()
	for _, c := range r.conns {
		c.Close()
	}
	select {
	case <-r.hang:
	default:
		close(r.hang)
	}
	r.mu.Unlock()
	r.done.Wait()
}

func (r *receiver) accept() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.conns = append(r.conns, conn)
		hang := r.hang
		r.mu.Unlock()
		r.done.Go(func() {
			defer conn.Close()
			<-hang
			r.read(conn)
		})
	}
}

func (r *receiver) read(conn net.Conn) {
	r.mu.Lock()
	refuse := r.fail > 0
	if refuse {
		r.fail--
	}
	r.mu.Unlock()
	if refuse {
		return
	}
	in, err := framestream.NewReader(conn, &framestream.ReaderOptions{ContentTypes: [][]byte{[]byte(dnstap.ContentType)}, Bidirectional: true})
	room := make([]byte, 256<<10)
	for err == nil {
		var n int
		if n, err = in.ReadFrame(room); err == nil {
			r.mu.Lock()
			r.frames = append(r.frames, string(room[:n]))
			r.mu.Unlock()
		}
	}
}

// received is what has arrived, once all that was sent has been read.
func (r *receiver) received() []string {
	quiet := 0
	var last int
	await.Within(await.Limit, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		quiet++
		for _, c := range r.conns {
			if waiting(c) > 0 {
				quiet = 0
			}
		}
		if len(r.frames) != last {
			last, quiet = len(r.frames), 0
		}
		return quiet > 3
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.frames)
}

// waiting is how many bytes of a connection have not been read.
func waiting(c net.Conn) (n int) {
	raw, ok := c.(syscall.Conn)
	if !ok {
		return 0
	}
	conn, err := raw.SyscallConn()
	if err == nil {
		conn.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	}
	return n
}

// disconnect closes all connections, once what was sent has been read.
func (r *receiver) disconnect() {
	r.received()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.Close()
	}
	r.conns = nil
}

func (r *receiver) failNext(n int) {
	r.mu.Lock()
	r.fail = n
	r.mu.Unlock()
	r.disconnect()
}

func (r *receiver) hangNow() (release func()) {
	r.mu.Lock()
	hang := make(chan struct{})
	r.hang = hang
	r.mu.Unlock()
	r.disconnect()
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		close(hang)
		r.hang = closed()
	})
}

// parsed returns an output with options from a command line.
func parsed(t outputtest.T, args ...string) *Output {
	t.Helper()
	o := New()
	outputtest.Options(t, o, append([]string{"--dnstapoutputtype=1"}, args...)...)
	o.Common.Server = "sensor"
	if _, err := o.Settings(); err != nil {
		t.Fatalf("%v", err)
	}
	return o
}

func opened(t *testing.T, o *Output) outputs.Writer {
	t.Helper()
	w, err := o.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func put(t *testing.T, w outputs.Writer, b *event.Block) {
	t.Helper()
	if n, err := w.Write(t.Context(), b); n != 0 || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
}

// described is what a payload says, in words of our own parser.
func described(t outputtest.T, payload string) string {
	t.Helper()
	var f dnstap.Frame
	if f.Parse([]byte(payload)) != dnstap.NoFault { // as it came
		return payload
	}
	return fmt.Sprintf("%+v", f)
}

// wanted is what the frame of an event has to say.
func wanted(t outputtest.T, e *event.Event) string {
	if payload, ok := dnstap.AppendPayload(nil, e); ok {
		return described(t, string(payload))
	}
	f := dnstap.Frame{Identity: []byte("sensor"), Type: dnstap.ClientQuery, Protocol: dnstap.ProtocolOf(e.Proto), QueryTime: max(e.QueryTime, 0), ResponseTime: max(e.ResponseTime, 0)}
	if len(e.Identity) > 0 {
		f.Identity = e.Identity
	}
	if len(e.Version) > 0 {
		f.Version = e.Version
	}
	client, server := e.Src, e.Dst
	if len(e.Message) > 2 && e.Message[2]&0x80 != 0 {
		client, server = server, client
		f.Type, f.Response = dnstap.ClientResponse, e.Message
		if e.ResponseTime == 0 {
			f.ResponseTime = max(e.Time, 0)
		}
	} else {
		f.Query = e.Message
		if e.QueryTime == 0 {
			f.QueryTime = max(e.Time, 0)
		}
	}
	if client.Addr().IsValid() {
		f.QueryAddress = client.Addr().AsSlice()
	}
	if server.Addr().IsValid() {
		f.ResponseAddress = server.Addr().AsSlice()
	}
	f.Family = map[int]uint32{0: 0, 4: 1, 16: 2}[max(len(f.QueryAddress), len(f.ResponseAddress))]
	if s := e.Src.Addr(); s.IsValid() {
		f.Family = map[bool]uint32{true: 1, false: 2}[s.Is4()]
	}
	f.QueryPort, f.ResponsePort = client.Port(), server.Port()
	return fmt.Sprintf("%+v", f)
}

func all(t outputtest.T, payloads []string) (list []string) {
	for _, p := range payloads {
		list = append(list, described(t, p))
	}
	return list
}

// watchedOutput knows its writers.
type watchedOutput struct {
	*Output
	mu      sync.Mutex
	senders []*sender
}

func (o *watchedOutput) Open(ctx context.Context) (outputs.Writer, error) {
	w, err := o.Output.Open(ctx)
	if err == nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.senders = append(o.senders, w.(*sender))
	}
	return w, err
}

// awaitBroken waits until all writers have noticed that the receiver has closed. None of
// them may be writing.
func (o *watchedOutput) awaitBroken(t outputtest.T) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range o.senders {
		if !await.Within(await.Limit, func() bool { return w.stream == nil || w.stream.broken() != nil }) {
			t.Fatalf("a writer does not notice that its connection is closed")
		}
	}
}

func TestConformanceSocket(t *testing.T) {
	outputtest.Run(t, func(t outputtest.T) *outputtest.Target {
		path := socket(t)
		r := serve(t, listen(t, "unix", path))
		o := &watchedOutput{Output: parsed(t, "--dnstapoutputaddress=unix://"+path)}
		return &outputtest.Target{
			Output:   o,
			Want:     func(e *event.Event) []string { return []string{wanted(t, e)} },
			Received: func() []string { return all(t, r.received()) },
			Fail: func(n int) {
				r.failNext(n)
				o.awaitBroken(t)
			},
			Hang: func() func() {
				release := r.hangNow()
				o.awaitBroken(t)
				return release
			},
		}
	})
}

func TestConformanceFolder(t *testing.T) {
	outputtest.Run(t, func(t outputtest.T) *outputtest.Target {
		dir, err := os.MkdirTemp("", "dnstap")
		if err != nil {
			t.Fatalf("%v", err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		o, d := parsed(t, "--dnstapoutputaddress="+dir), new(outputtest.Disk)
		if err := o.Check(context.Background()); err != nil {
			t.Fatalf("%v", err)
		}
		o.files.Folder().WriteFile = d.Write
		return &outputtest.Target{
			Output:   o,
			Want:     func(e *event.Event) []string { return []string{wanted(t, e)} },
			Received: func() []string { list, _ := payloads(t, filepath.Join(dir, fileName)); return all(t, list) },
			Fail:     d.Fail,
			Hang:     d.Hang,
		}
	})
}

// payloads reads a file with golang-framestream. ended: it has a STOP, and nothing after it.
func payloads(t outputtest.T, path string) (list []string, ended bool) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer file.Close()
	in, err := framestream.NewReader(file, &framestream.ReaderOptions{ContentTypes: [][]byte{[]byte(dnstap.ContentType)}})
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	room := make([]byte, 256<<10)
	for {
		n, err := in.ReadFrame(room)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: after %d frames: %v", path, len(list), err)
		}
		list = append(list, string(room[:n]))
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return list, len(b) > len(stop) && string(b[len(b)-len(stop):]) == string(stop)
}
