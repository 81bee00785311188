//go:build linux

package bpf

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeRing is a Ring in plain memory: the test writes what the kernel would.
type fakeRing struct {
	*Ring
	at int // the producer's position
}

const fakeRingSize = 64

func newFakeRing() *fakeRing {
	return &fakeRing{Ring: newRing(make([]byte, 8), make([]byte, 8), make([]byte, 2*fakeRingSize))}
}

// put adds a record, and returns the offset of its header.
func (fake *fakeRing) put(text string, flags uint32) (header int) {
	header = fake.at % fakeRingSize
	for _, half := range []int{0, fakeRingSize} { // the kernel maps the same bytes twice
		for i := range text {
			fake.data[half+(header+ringHeader+i)%fakeRingSize] = text[i]
		}
		binary.LittleEndian.PutUint32(fake.data[half+header:], uint32(len(text))|flags)
	}
	fake.at += (ringHeader + len(text) + 7) / 8 * 8
	fake.producer.Store(uint64(fake.at))
	return header
}

// submit clears the busy flag.
func (fake *fakeRing) submit(header int) {
	fake.data[header+3] &^= 0x80
}

func (fake *fakeRing) want(t *testing.T, text string) {
	t.Helper()
	raw, ok := fake.Next()
	if !ok || string(raw) != text {
		t.Fatalf("record %q, %v, want %q", raw, ok, text)
	}
}

func (fake *fakeRing) wantNone(t *testing.T) {
	t.Helper()
	if raw, ok := fake.Next(); ok {
		t.Fatalf("record %q, want none", raw)
	}
}

func TestRingReads(t *testing.T) {
	fake := newFakeRing()
	fake.wantNone(t)
	for i := range 100 { // wraps around at every multiple of 8
		text := "a record of some length"[:i%24]
		fake.put(text, 0)
		fake.put("not this", ringDiscard)
		fake.want(t, text)
		fake.wantNone(t)
		if held := fake.at - int(fake.consumer.Load()); fake.Held() != held {
			t.Fatalf("held %d, want %d", fake.Held(), held)
		}
		fake.Release()
		if int(fake.consumer.Load()) != fake.at || fake.Held() != 0 || !fake.Empty() {
			t.Fatalf("consumer at %d of %d, held %d", fake.consumer.Load(), fake.at, fake.Held())
		}
	}
}

// A ring goes on beyond 4 GiB in a process of 32 bits, too, whose kernel may count with 64.
func TestRingBeyond4GiB(t *testing.T) {
	s := newKit(t, Options{})
	r, p := s.k.Rings()[0], s.program(sensorProgTcIngressEth)
	packet := query4(int(sensorRecordSizeCLASS_3) + 1)
	records := uint64(0)
	for r.consumer.Load() < 1<<32+1<<20 {
		if _, _, err := p.Benchmark(packet, 200, nil); err != nil { // a signal makes the library repeat it
			t.Fatal(err)
		}
		before := records
		for raw, ok := r.Next(); ok; raw, ok = r.Next() {
			if _, data, isRecord := ParseRecord(raw); !isRecord || len(data) != len(packet) {
				t.Fatalf("record %d: %v, %d bytes", records, isRecord, len(data))
			}
			records++
		}
		if records == before {
			t.Fatalf("nothing comes after %d records: %+v", records, s.counters("tc ingress"))
		}
		r.Release()
	}
	if c := s.counters("tc ingress"); c.value("delivered") != records || c.value("seen") != c.outcomes() || !r.Empty() {
		t.Errorf("%d records read, counters %+v", records, c)
	}
}

// Reading stops at a record that is still being written.
func TestRingStopsAtBusyRecord(t *testing.T) {
	fake := newFakeRing()
	fake.put("first", 0)
	second := fake.put("second", ringBusy)
	fake.put("third", 0)
	fake.want(t, "first")
	fake.wantNone(t)
	fake.Release()
	if fake.Empty() || int(fake.consumer.Load()) != 16 {
		t.Fatalf("consumer at %d, want 16: before the record that is busy", fake.consumer.Load())
	}
	fake.submit(second)
	fake.want(t, "second")
	fake.want(t, "third")
	fake.wantNone(t)
}

// Records stay unchanged until Release: the kernel finds no space.
func TestRingHolds(t *testing.T) {
	s := newKit(t, Options{RingBytes: MinRingBytes})
	r := s.k.Rings()[0]
	fit := r.Size() / (128 + ringHeader)
	var held [][]byte
	for i := range fit {
		s.run(sensorProgTcIngressEth, query4(60+i%20), nil)
		raw, ok := r.Next()
		if !ok {
			t.Fatalf("record %d of %d is not there", i+1, fit)
		}
		held = append(held, raw)
	}
	if got := s.run(sensorProgTcIngressEth, query4(80), nil); got != "ring_full" {
		t.Errorf("all is held: %s, want ring_full", got)
	}
	for i, raw := range held {
		if _, data, ok := ParseRecord(raw); !ok || !bytes.Equal(data, query4(60+i%20)) {
			t.Fatalf("record %d is no longer the packet", i)
		}
	}
	r.Release()
	s.want("delivered", sensorProgTcIngressEth, query4(80))
}

// withoutTick disables the timer, so that only the watermark ends a wait.
func (r *Ring) withoutTick() { r.tick = unix.ItimerSpec{} }

func TestRingWait(t *testing.T) {
	s := newKit(t, Options{RingBytes: MinRingBytes})
	r := s.k.Rings()[0]
	pass := func() { // the watermark
		for range MinRingBytes/8/(128+ringHeader) + 1 {
			s.run(sensorProgTcIngressEth, query4(80), nil)
		}
	}
	wait := func(when string) {
		t.Helper()
		if err := r.Wait(); err != nil {
			t.Fatalf("wait, %s: %v", when, err)
		}
	}
	drain := func() (n int) {
		for _, ok := r.Next(); ok; _, ok = r.Next() {
			n++
		}
		r.Release()
		return n
	}
	wait("for the tick")
	wait("for the tick again")

	r.withoutTick()
	pass()
	wait("above the watermark")
	wait("above the watermark, woken before")
	drain()
	for range 3 {
		done := make(chan error, 1)
		go func() { done <- r.Wait() }()
		waiting := true
		for range 200 {
			pass()
			select {
			case err := <-done:
				if err != nil {
					t.Fatal(err)
				}
				waiting = false
			default:
				continue
			}
			break
		}
		if waiting {
			t.Fatal("the watermark was crossed again and again, and the reader was not woken")
		}
		if drain() == 0 {
			t.Error("nothing there after the wait")
		}
	}
}

func TestRingAllocatesNothing(t *testing.T) {
	s := newKit(t, Options{})
	r := s.k.Rings()[0]
	n := testing.AllocsPerRun(20, func() {
		r.Next()
		r.Release()
		if err := r.Wait(); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("a wait allocates %v times, want 0", n)
	}
}

// A tick that comes before the poller waits is not lost: the process may be
// preempted for longer than a tick in between.
func TestRingWaitAfterTick(t *testing.T) {
	s := newKit(t, Options{RingBytes: MinRingBytes})
	r := s.k.Rings()[0]
	r.ready = func(fd uintptr) bool {
		done := r.isReady(fd)
		time.Sleep(3 * ringTick)
		return done
	}
	for range 5 {
		if err := r.Wait(); err != nil {
			t.Fatal(err)
		}
	}
}
