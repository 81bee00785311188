package dnstap

import (
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/testlog"
	"dnsmonster-sensor/userspace/framestream"
	"dnsmonster-sensor/userspace/packet"
)

// hasty are bounds for attackers that tests wait for.
var hasty = bounds{
	start: 200 * time.Millisecond, frame: 400 * time.Millisecond, hurry: 100 * time.Millisecond, silent: 100 * time.Millisecond,
	answer: time.Second, drain: time.Second, memory: 64 << 20,
}

// receiver is an open source whose lanes are read.
type receiver struct {
	*Source
	t   testing.TB
	log *testlog.Log

	mu      sync.Mutex
	frames  [][]byte // if kept
	keep    bool
	reading sync.WaitGroup
}

// receive opens a source and reads it. Without addresses it listens on a unix socket.
func receive(t testing.TB, o Options, b bounds) *receiver {
	t.Helper()
	r := &receiver{t: t, log: new(testlog.Log), keep: true}
	o.Log = slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if o.Addresses == nil {
		o.Addresses = []string{"unix://" + filepath.Join(t.TempDir(), "s")}
	}
	s, err := open(o, b)
	if err != nil {
		t.Fatal(err)
	}
	r.Source = s
	for _, l := range s.Lanes() {
		r.reading.Go(func() { r.read(l) })
	}
	t.Cleanup(func() { r.end() })
	return r
}

func (r *receiver) read(l capture.Lane) {
	var b packet.Batch
	for {
		err := l.Read(&b)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			continue
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			r.t.Error(err)
			return
		}
		r.mu.Lock()
		for _, p := range b.Packets {
			if p.Link != packet.LinkDnstap || int(p.WireLen) != len(p.Data) {
				r.t.Errorf("packet of link %d with %d of %d bytes", p.Link, len(p.Data), p.WireLen)
			}
			data := []byte(nil)
			if r.keep {
				data = append(data, p.Data...)
			}
			r.frames = append(r.frames, data)
		}
		r.mu.Unlock()
	}
}

// count is the number of frames that were read.
func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.frames)
}

// end closes the source, and checks the ledger.
func (r *receiver) end() {
	r.t.Helper()
	if err := r.Close(); err != nil {
		r.t.Error(err)
	}
	r.reading.Wait()
	if r.Given() != uint64(r.count()) {
		r.t.Errorf("given %d, read %d", r.Given(), r.count())
	}
	if used := r.memory.used.Load(); used != 0 {
		r.t.Errorf("%d bytes of buffers are in use at the end", used)
	}
}

// meter is the value of a counter.
func (r *receiver) meter(name string) uint64 {
	r.t.Helper()
	stats, _ := r.Kernel()
	for _, c := range stats.Hooks[0].Counters {
		if c.Name == name {
			return c.Value
		}
	}
	r.t.Fatal("no counter ", name)
	return 0
}

// awaits waits until a counter has a value.
func (r *receiver) awaits(name string, value uint64) {
	r.t.Helper()
	await.True(r.t, name, func() bool { return r.meter(name) == value }, r.log)
}

// awaitLog waits until the log has a text that often.
func (r *receiver) awaitLog(text string, n int) {
	r.t.Helper()
	await.True(r.t, "the log has "+text, func() bool { return r.log.Count(text) >= n }, r.log)
	if is := r.log.Count(text); is != n {
		r.t.Errorf("%q is in the log %d times, want %d:\n%s", text, is, n, r.log)
	}
}

// forget lets the log have a line again that it has already.
func (r *receiver) forget() {
	r.said.mu.Lock()
	defer r.said.mu.Unlock()
	r.said.last = nil
}

func (r *receiver) awaitFrames(n int) {
	r.t.Helper()
	await.True(r.t, "the frames come", func() bool { return r.count() >= n }, r.log)
}

// connect connects to the first address.
func (r *receiver) connect() net.Conn { r.t.Helper(); return r.connectTo(0) }

func (r *receiver) connectTo(i int) net.Conn {
	r.t.Helper()
	a, err := ParseAddress(r.Senders().Addresses[i])
	if err != nil {
		r.t.Fatal(err)
	}
	network, where := a.dialed(), a.Where
	nc, err := net.Dial(network, where)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(await.Limit))
	return nc
}

// send writes pieces.
func send(t testing.TB, w io.Writer, pieces ...[]byte) {
	t.Helper()
	for _, b := range pieces {
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
	}
}

func controlFrame(c framestream.Control) []byte {
	text := contentType
	if c == framestream.Stop || c == framestream.Finish {
		text = ""
	}
	return framestream.AppendControl(nil, c, text)
}

var (
	ready = controlFrame(framestream.Ready)
	start = controlFrame(framestream.Start)
	stop  = controlFrame(framestream.Stop)
)

// frame is a data frame of n bytes that names itself.
func frame(n int) []byte {
	b := framestream.AppendHead(nil, n)
	b = append(b, make([]byte, n)...)
	if n >= 4 {
		binary.BigEndian.PutUint32(b[4:], uint32(n))
	}
	return b
}

// hears reads a control frame.
func hears(t testing.TB, nc io.Reader, want framestream.Control) {
	t.Helper()
	b := make([]byte, len(controlFrame(want)))
	if _, err := io.ReadFull(nc, b); err != nil {
		t.Fatalf("%v instead of %v", err, want)
	}
	f, _, err := framestream.Next(b, 0)
	if err != nil || f.Control != want {
		t.Fatalf("%v, %v instead of %v", f.Control, err, want)
	}
}

// ends reads to the end of a connection.
func ends(t testing.TB, nc net.Conn) {
	t.Helper()
	if b, err := io.ReadAll(nc); err != nil && !isReset(err) {
		t.Fatalf("the connection is not closed: %v, after %q", err, b)
	}
}
