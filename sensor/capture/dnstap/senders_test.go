package dnstap

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	reference "github.com/dnstap/golang-dnstap"
	fstrm "github.com/farsightsec/golang-framestream"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/userspace/framestream"
)

// TestSenders: golang-framestream in both ways, over several sockets at once.
func TestSenders(t *testing.T) {
	r := receive(t, Options{Addresses: []string{"unix://" + t.TempDir() + "/s", "tcp://127.0.0.1:0", "unix://@dnstap-test-" + fmt.Sprint(os.Getpid())}, Lanes: 2}, usual)
	want := 0
	for i := range 3 {
		for _, both := range []bool{false, true} {
			nc := r.connectTo(i)
			types := [][]byte{[]byte(contentType), []byte("something else")}
			if both { // the receiver chooses
				types[0], types[1] = types[1], types[0]
			}
			w, err := fstrm.NewWriter(nc, &fstrm.WriterOptions{ContentTypes: types, Bidirectional: both, Timeout: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			for j := range 1000 {
				if _, err := w.WriteFrame(frame(1 + j*j%5000)[framestream.HeadLen:]); err != nil {
					t.Fatal(err)
				}
			}
			want += 1000
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			r.awaitFrames(want) // before the end of the stream
			if n := r.Senders().Connected; n != 1 {
				t.Errorf("%d senders are connected", n)
			}
			if err := w.Close(); err != nil { // waits for FINISH, if it speaks in both directions
				t.Errorf("%v: %v", both, err)
			}
			nc.Close()
			await.True(t, "it has left", func() bool { return r.Senders().Connected == 0 })
		}
	}
	r.awaits("streams_stopped", 6)
	for i, f := range r.frames {
		if j := i % 1000; !bytes.Equal(f, frame(1 + j*j%5000)[framestream.HeadLen:]) {
			t.Fatalf("frame %d has other content", i)
		}
	}
	if r.meter("streams_broken") != 0 || r.log.Count("WARN") > 0 {
		t.Errorf("right senders are blamed:\n%s", r.log)
	}
}

// TestRestarts: a sender outlives restarts of the sensor, and loses only what it could not
// write.
func TestRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for tries := 0; ; tries++ {
			select {
			case <-done:
				return
			default:
			}
			nc, err := net.Dial("unix", path)
			if err != nil {
				time.Sleep(time.Millisecond)
				continue
			}
			w, err := fstrm.NewWriter(nc, &fstrm.WriterOptions{ContentTypes: [][]byte{[]byte(contentType)}, Bidirectional: true})
			for err == nil {
				if _, err = w.WriteFrame([]byte("a frame")); err == nil {
					err = w.Flush()
				}
			}
			nc.Close()
		}
	}()
	for range 4 {
		r := receive(t, Options{Addresses: []string{"unix://" + path}}, usual)
		r.awaitFrames(100)
		r.end()
		if _, err := os.Lstat(path); err == nil {
			t.Error("the socket is left")
		}
		if r.log.Count("WARN") > 0 || r.log.Count("a sender closed its connection") > 0 || r.meter("broken_bytes") > 0 {
			t.Errorf("the sender is blamed:\n%s", r.log)
		}
	}
	close(done)
	<-gone
}

// TestGolangDnstap is the sender of golang-dnstap, whose end waits for FINISH.
func TestGolangDnstap(t *testing.T) {
	r := receive(t, Options{}, usual)
	o, err := reference.NewFrameStreamSockOutput(&net.UnixAddr{Net: "unix", Name: r.addresses[0].Where})
	if err != nil {
		t.Fatal(err)
	}
	go o.RunOutputLoop()
	for range 100 {
		o.GetOutputChannel() <- []byte("a frame")
	}
	o.Close()
	r.awaits("streams_stopped", 1)
	r.awaitFrames(100)
}

// TestDial: the sender listens; both may start and restart in any order.
func TestDial(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	r := receive(t, Options{Addresses: []string{"unix://" + path}, Dial: true}, usual)
	if r.Live() {
		t.Error("a source that dials is live")
	}
	await.True(t, "it says that it waits", func() bool { return r.log.Count("waiting for the sender") == 1 })
	for i := range 3 {
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		nc, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		w, err := fstrm.NewWriter(nc, &fstrm.WriterOptions{ContentTypes: [][]byte{[]byte(contentType)}, Bidirectional: true, Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		w.WriteFrame([]byte("frame"))
		w.Flush()
		r.awaitFrames(i + 1)
		if i == 1 {
			w.Close()
		}
		l.Close()
		nc.Close()
		await.True(t, "it has left", func() bool { return r.Senders().Connected == 0 })
	}
	await.True(t, "each wait is said once", func() bool { return r.log.Count("waiting for the sender") >= 2 }, r.log)
	if n := r.log.Count("connected to the sender after waiting for it"); n < 1 || n > 3 {
		t.Errorf("said %d times:\n%s", n, r.log)
	}
}

// TestBeginsAgain: after STOP the same connection may begin again, in either way.
func TestBeginsAgain(t *testing.T) {
	r := receive(t, Options{}, usual)
	nc := r.connect()
	for range 3 {
		send(t, nc, ready)
		hears(t, nc, framestream.Accept)
		send(t, nc, start, frame(10), frame(20), stop)
		hears(t, nc, framestream.Finish)
	}
	send(t, nc, start, frame(10), stop, start, frame(10), stop) // in one piece, without READY
	r.awaitFrames(8)
	r.awaits("streams_stopped", 5)
}

// TestClosing: what is in the socket when the sensor ends is delivered, and STOP is
// answered, also from a connection that nobody has accepted.
func TestClosing(t *testing.T) {
	for _, address := range []string{"unix://" + t.TempDir() + "/s", "tcp://127.0.0.1:0"} {
		r := receive(t, Options{Addresses: []string{address}}, usual)
		idle := r.connect()
		send(t, idle, start)
		r.awaits("streams_begun", 1)
		nc := r.connect()
		send(t, nc, ready)
		hears(t, nc, framestream.Accept)
		var all []byte
		for range 100 {
			all = append(all, frame(300)...)
		}
		send(t, nc, append(append(bytes.Clone(start), all...), stop...))
		began := time.Now()
		r.end()
		if took := time.Since(began); took > usual.drain/2 {
			t.Errorf("%s: Close took %v", address, took)
		}
		if r.count() != 100 {
			t.Errorf("%s: %d of 100 frames were delivered", address, r.count())
		}
		hears(t, nc, framestream.Finish)
		ends(t, nc)
		ends(t, idle)
	}
}

// TestClosingUnderLoad: a sender that cannot write any more has written only what the
// sensor has: nothing is lost between them. The lane is not read at first.
func TestClosingUnderLoad(t *testing.T) {
	r := receive(t, Options{}, usual)
	nc := r.connect()
	send(t, nc, start)
	sent := make(chan int)
	go func() {
		one := frame(1000)
		for n := 0; ; n++ {
			if k, err := nc.Write(one); err != nil {
				if k != 0 && k != len(one) {
					n = -1
				}
				sent <- n
				return
			}
		}
	}()
	r.awaitFrames(1000)
	r.end()
	if n := <-sent; n != r.count() {
		t.Errorf("%d frames were sent, %d came", n, r.count())
	}
}

// TestBackpressure: a sender waits while its lane is not read, and nothing is lost.
func TestBackpressure(t *testing.T) {
	r := receive(t, Options{}, usual)
	r.mu.Lock() // the reader of the lane cannot go on
	nc := r.connect()
	send(t, nc, start)
	nc.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	n, err := io.Copy(nc, &endless{})
	if err == nil {
		t.Error("the sender can write without end")
	}
	bound := int64(slotsOfConn+3) * int64(classSize[large])
	if used := r.memory.used.Load(); used > bound {
		t.Errorf("%d bytes of buffers for one connection", used)
	}
	nc.Close()
	r.mu.Unlock()
	r.awaits("connections_open", 0)
	r.end()
	if whole := int(n) / 104; r.count() != whole && r.count() != whole-1 && r.count() != whole+1 {
		t.Errorf("%d bytes were sent, %d frames came", n, r.count())
	}
}

// endless is frames of 100 bytes.
type endless struct{ at int }

func (e *endless) Read(b []byte) (int, error) {
	one := frame(100)
	for i := range b {
		b[i] = one[e.at%len(one)]
		e.at++
	}
	return len(b), nil
}
