package dnstap

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/userspace/framestream"
)

// TestStrangers: what is wrong is named, counted, and nobody else is concerned.
func TestStrangers(t *testing.T) {
	r := receive(t, Options{Addresses: []string{"tcp://127.0.0.1:0"}}, usual)
	good := r.connect()
	send(t, good, start, frame(10))
	r.awaitFrames(1)
	hello := tlsHello(t)
	f := func(counter, said string, pieces ...[]byte) {
		t.Helper()
		before, lines := r.meter(counter), r.log.Count(said)
		nc := r.connect()
		send(t, nc, bytes.Join(pieces, nil))
		nc.(*net.TCPConn).CloseWrite()
		ends(t, nc)
		r.awaits(counter, before+1)
		r.awaitLog(said, lines+1)
		r.forget()
	}
	where := strings.TrimPrefix(r.Senders().Addresses[0], "tcp://")
	f("handshake_protocol", "write tls://"+where, hello)
	f("handshake_protocol", "it speaks HTTP", []byte("GET / HTTP/1.1\r\n\r\n"))
	f("handshake_protocol", `it begins with \"\\x1b[31mred`, []byte("\x1b[31mred"))
	f("handshake_protocol", "it begins with", frame(100))
	f("handshake_protocol", "before the end of its first frame", []byte{0, 0})
	f("handshake_protocol", "unexpected START frame: STOP must come", start, start)
	f("handshake_protocol", "unexpected READY frame: START must come", ready, ready)
	f("handshake_protocol", "unexpected FINISH frame: STOP must come", start, controlFrame(framestream.Finish))
	f("handshake_protocol", "unexpected control type 77 frame", start, framestream.AppendControl(nil, 77, ""))
	f("handshake_protocol", "a control frame with a wrong length", start, []byte{0, 0, 0, 0, 0, 0, 2, 1})
	f("handshake_content_type", `offers content type [\"\\x1bx\"], not protobuf:dnstap.Dnstap`, framestream.AppendControl(nil, framestream.Start, "\x1bx"))
	f("handshake_content_type", "offers content type", framestream.AppendControl(nil, framestream.Ready, "protobuf:other"))
	f("frame_too_long", "frame too long: 4294967295 bytes are announced, and 262144 are allowed", start, []byte{255, 255, 255, 255})
	f("streams_broken", "inside a frame, of which 54 bytes had come", start, frame(100)[:54])
	if n := r.meter("broken_bytes"); n != 54 {
		t.Errorf("%d bytes of broken frames", n)
	}
	given := r.Given()
	f("frame_too_long", "frame too long", start, frame(10), frame(20), []byte{255, 255, 255, 255}) // what came before it counts
	if r.Given() != given+2 {
		t.Errorf("%d frames before the wrong one", r.Given()-given)
	}
	send(t, good, frame(framestream.MaxFrame), frame(5), stop)
	r.awaits("streams_stopped", 1)
	r.awaitFrames(int(given) + 4)
}

// tlsHello is what a TLS client sends first.
func tlsHello(t *testing.T) []byte {
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		defer client.Close()
		tls.Client(client, &tls.Config{ServerName: "example.org"}).Handshake()
	}()
	b := make([]byte, 1<<12)
	n, err := server.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// TestStandingStill: who says nothing, or stops inside a frame, is sent away; a sender that
// has nothing to send stays.
// Two of a kind from one host are one line.
func TestStandingStill(t *testing.T) {
	r := receive(t, Options{Addresses: []string{"tcp://127.0.0.1:0"}}, hasty)
	idle := r.connect()
	send(t, idle, start, frame(3000), frame(3000))
	mute, half, inside, trickle := r.connect(), r.connect(), r.connect(), r.connect()
	send(t, half, ready)
	hears(t, half, framestream.Accept)
	send(t, inside, start, frame(200000)[:100000])
	send(t, trickle, start, frame(100)[:1])
	go func() {
		for _, b := range frame(100)[1:] { // each byte comes in time, the frame does not
			time.Sleep(hasty.frame / 10)
			if _, err := trickle.Write([]byte{b}); err != nil {
				return
			}
		}
	}()
	ends(t, mute)
	ends(t, half)
	ends(t, inside)
	ends(t, trickle)
	r.awaits("handshake_no_start", 2)
	r.awaits("streams_stalled", 2)
	await.True(t, "the idle sender's large buffer is taken back", func() bool { return r.memory.used.Load() == 0 })
	send(t, idle, frame(3000), stop)
	r.awaits("streams_stopped", 1)
	r.awaitFrames(3)
	for _, said := range []string{"did not begin a stream within 200ms", "stopped inside a frame, of which"} {
		r.awaitLog(said, 1)
	}
}

// TestReadsEndInsideFrames: the bound is for one frame. A sender that writes pieces of a fixed
// size is inside a frame at the end of each of them, as long as it lives.
func TestReadsEndInsideFrames(t *testing.T) {
	r := receive(t, Options{}, hasty)
	nc := r.connect()
	f := frame(100)
	send(t, nc, start, f[:10])
	frames := 0
	for from := time.Now(); time.Since(from) < 2*hasty.frame; frames += 2 {
		time.Sleep(hasty.frame / 20)
		send(t, nc, bytes.Join([][]byte{f[10:], f, f[:10]}, nil))
	}
	send(t, nc, f[10:], stop)
	r.awaits("streams_stopped", 1)
	r.awaitFrames(frames + 1)
}

// TestMemoryIsBounded: senders that stop inside long frames have all of the memory, and
// neither short frames nor, in the end, long ones are kept from it.
func TestMemoryIsBounded(t *testing.T) {
	b := hasty
	b.frame, b.memory = time.Minute, 1<<20
	r := receive(t, Options{}, b)
	for range 40 {
		nc := r.connect()
		send(t, nc, start, frame(200000)[:5000])
	}
	await.True(t, "the memory is taken", func() bool { return r.memory.used.Load() > 1<<20-int64(classSize[whole]) })
	good := r.connect()
	send(t, good, start)
	for range 100 {
		send(t, good, frame(1000))
	}
	r.awaitFrames(100)
	send(t, good, frame(100000))
	r.awaitFrames(101)
	if used := r.memory.used.Load(); used > 1<<20 {
		t.Errorf("%d bytes are used", used)
	}
}

// TestManyConnections: 2,500 senders at once, most of them silent or half-open, cost
// little memory, and more than the limit are refused.
func TestManyConnections(t *testing.T) {
	const many, most = 2500, 2400
	r := receive(t, Options{MaxConnections: most, Lanes: 2}, usual)
	good := r.connect()
	send(t, good, start)
	r.awaits("streams_begun", 1)
	before := heap()
	list := make([]net.Conn, many)
	for i := range list {
		list[i] = r.connect()
		switch i % 3 {
		case 0:
			list[i].Write(start)
		case 1:
			list[i].Write(ready[:7])
		}
	}
	r.awaits("connections_refused", many+1-most)
	if grown := heap() - before; grown > 64<<20 {
		t.Errorf("%d connections take %d MiB", many, grown>>20)
	}
	began := time.Now()
	for range 1000 {
		send(t, good, frame(300))
	}
	r.awaitFrames(1000)
	t.Logf("1,000 frames beside %d connections: %v", most, time.Since(began))
	r.awaitLog("a connection was refused, because 2400 are open", 1)
	for _, nc := range list {
		nc.Close()
	}
	r.awaits("connections_open", 1)
	nc := r.connect()
	send(t, nc, start, frame(1), stop)
	r.awaitFrames(1001)
	r.Source.mu.Lock()
	lanes := [2]int{r.lanes[0].conns, r.lanes[1].conns}
	r.Source.mu.Unlock()
	if lanes[0] < 0 || lanes[1] < 0 {
		t.Errorf("connections of the lanes: %v", lanes)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// FuzzCut: however the bytes of a connection are split, the same frames come, and none
// after a mistake.
func FuzzCut(f *testing.F) {
	long := bytes.Join([][]byte{ready, start, frame(70000), frame(10), frame(5000), stop, ready, start, frame(1), stop}, nil)
	f.Add(bytes.Join([][]byte{start, frame(10), frame(20), stop}, nil), uint16(3))
	f.Add(long, uint16(1000))
	f.Add(append(bytes.Clone(start), 255, 255, 255, 255), uint16(7))
	f.Fuzz(func(t *testing.T, b []byte, piece uint16) {
		var want [][]byte
		state := framestream.Receiver{ContentType: contentType}
		for rest := b; ; {
			one, n, err := framestream.Next(rest, framestream.MaxFrame)
			if err != nil {
				break
			}
			if one.Control != framestream.Data {
				if _, err := state.Control(&one, nil); err != nil {
					break
				}
			} else if state.Data() != nil {
				break
			} else {
				want = append(want, one.Data)
			}
			rest = rest[n:]
		}
		s := receive(t, Options{Addresses: []string{"unix:///run/never-listens"}, Dial: true}, usual)
		c := s.add(&pieces{data: b, n: int(piece)%5000 + 1}, Address{Network: "unix"})
		s.running.Add(1)
		s.serve(c)
		s.running.Done()
		s.end()
		if len(want) != s.count() {
			t.Fatalf("%d frames instead of %d", s.count(), len(want))
		}
		for i := range want {
			if !bytes.Equal(want[i], s.frames[i]) {
				t.Fatalf("frame %d is %q instead of %q", i, s.frames[i], want[i])
			}
		}
	})
}

// pieces is a connection that brings some bytes at a time.
type pieces struct {
	net.Conn
	data []byte
	n    int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.data) == 0 {
		return 0, net.ErrClosed
	}
	n := copy(b, p.data[:min(p.n, len(p.data))])
	p.data = p.data[n:]
	return n, nil
}
func (p *pieces) Write(b []byte) (int, error)      { return len(b), nil }
func (p *pieces) Close() error                     { return nil }
func (p *pieces) SetDeadline(time.Time) error      { return nil }
func (p *pieces) SetReadDeadline(time.Time) error  { return nil }
func (p *pieces) SetWriteDeadline(time.Time) error { return nil }
func (p *pieces) RemoteAddr() net.Addr             { return &net.UnixAddr{Net: "unix"} }

// stream is frames of n bytes as a sender without end would send them.
func stream(frames, n int) []byte {
	var b []byte
	for range frames {
		b = append(b, frame(n)...)
	}
	if len(b) > 0 && binary.BigEndian.Uint32(b) != uint32(n) {
		panic("wrong frame")
	}
	return b
}
