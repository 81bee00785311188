//go:build linux

package bpf

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func bootTime(t *testing.T) uint64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		t.Fatal(err)
	}
	return uint64(ts.Nano())
}

func TestRecord(t *testing.T) {
	s := newKit(t, Options{XDP: true})
	f := func(prog string, packet, context []byte, want Record) {
		t.Helper()
		if s.lacks(prog) {
			return
		}
		start := bootTime(t)
		if got := s.run(prog, packet, context); got != "delivered" {
			t.Fatalf("%s: %s", prog, got)
		}
		rec, data, _ := s.next()
		if rec.BootNs < start || rec.BootNs > bootTime(t) {
			t.Errorf("%s: time %d is not in the last %v", prog, rec.BootNs, time.Duration(bootTime(t)-start))
		}
		rec.BootNs = 0
		want.Ifindex = 1 // BPF_PROG_TEST_RUN's
		want.WireLen, want.CapLen = uint32(len(packet)), uint32(len(packet))
		if rec != want || !bytes.Equal(data, packet) {
			t.Errorf("%s: %+v, want %+v", prog, rec, want)
		}
	}
	q := query4(90)
	gso := make([]byte, 192) // struct __sk_buff
	binary.LittleEndian.PutUint32(gso[164:], 2)
	binary.LittleEndian.PutUint32(gso[176:], 1200)

	f(sensorProgTcIngressEth, q, nil, Record{})
	f(sensorProgTcEgressEth, q, nil, Record{Out: true})
	f(sensorProgTcIngressL3, q[14:], nil, Record{L3: true})
	f(sensorProgTcEgressL3, q[14:], nil, Record{L3: true, Out: true})
	f(sensorProgXdpEth, q, nil, Record{XDP: true})
	f(sensorProgXdpL3, q[14:], nil, Record{XDP: true, L3: true})
	f(sensorProgTcIngressEth, q, gso, Record{SegSize: 1200})
}

func TestRecordTellsSampling(t *testing.T) {
	onOneCPU(t)
	f := func(keep, of, wantKeep, wantOf uint32) {
		t.Helper()
		s := newKit(t, Options{Keep: keep, Of: of})
		for range of + 1 {
			s.run(sensorProgTcIngressEth, query4(80), nil)
		}
		rec, _, _ := s.next()
		if rec.SampleKeep != wantKeep || rec.SampleOf != wantOf {
			t.Errorf("%d:%d is recorded as %d:%d", keep, of, rec.SampleKeep, rec.SampleOf)
		}
	}
	f(2, 3, 2, 3)
	f(3, 3, 0, 0)
	f(0, 0, 0, 0)
}

// boundaries returns the packet sizes around which the size class changes.
func boundaries(largest int) []int {
	sizes := []int{42, 43, 63, 64, 65}
	for _, class := range []sensorRecordSize{
		sensorRecordSizeCLASS_0, sensorRecordSizeCLASS_1, sensorRecordSizeCLASS_2, sensorRecordSizeCLASS_3, sensorRecordSizeCLASS_4,
		sensorRecordSizeCLASS_5, sensorRecordSizeCLASS_6,
	} {
		for n := int(class) - recordHeader - 1; n <= int(class)-recordHeader+1; n++ {
			if n <= largest {
				sizes = append(sizes, n)
			}
		}
	}
	return append(sizes, largest)
}

// Larger packets for TC need a device: see TestSizesOnTap.
func TestSizes(t *testing.T) {
	s := newKit(t, Options{XDP: true, RingBytes: 1 << 20})
	for _, n := range boundaries(3000) {
		s.want("delivered", sensorProgTcIngressEth, query4(n))
	}
	for _, n := range boundaries(65535) {
		s.want("delivered", sensorProgXdpEth, query4(n))
	}
}

func TestSnapLength(t *testing.T) {
	f := func(snap, size int, wantCap int) {
		t.Helper()
		s := newKit(t, Options{SnapLen: uint32(snap), XDP: true})
		for _, prog := range []string{sensorProgTcEgressEth, sensorProgXdpEth} {
			if s.lacks(prog) {
				continue
			}
			s.run(prog, query4(size), nil)
			rec, data, _ := s.next()
			if int(rec.WireLen) != size || int(rec.CapLen) != wantCap || !bytes.Equal(data, query4(size)[:wantCap]) {
				t.Errorf("%s, %d of %d bytes: %+v, %d bytes", prog, snap, size, rec, len(data))
			}
			c := s.counters(hookOf(prog))
			wantCut := uint64(0)
			if wantCap < size {
				wantCut = 1
			}
			if c.value("cut") != wantCut || c.value("bytes") != uint64(size) {
				t.Errorf("%s, %d of %d bytes: cut %d, bytes %d", prog, snap, size, c.value("cut"), c.value("bytes"))
			}
		}
	}
	f(0, 1000, 1000)
	f(1, 1000, 1)
	f(88, 1000, 88)
	f(89, 1000, 89)
	f(999, 1000, 999)
	f(1000, 1000, 1000)
	f(1001, 1000, 1000)
}

func TestRingFull(t *testing.T) {
	s := newKit(t, Options{RingBytes: MinRingBytes, Rings: 1})
	const each = 128 + ringHeader
	fit := MinRingBytes / each
	for i := range fit + 10 {
		got := s.run(sensorProgTcIngressEth, query4(80), nil)
		if want := i < fit; (got == "delivered") != want || (got == "ring_full") == want {
			t.Fatalf("packet %d of %d that fit: %s", i+1, fit, got)
		}
	}
	for i := range fit {
		if _, data, _ := s.next(); !bytes.Equal(data, query4(80)) {
			t.Fatalf("record %d is not the packet", i)
		}
	}
	s.want("delivered", sensorProgTcIngressEth, query4(80))
	if c := s.counters("tc ingress"); c.value("seen") != c.outcomes() || c.value("ring_full") != 10 || c.value("delivered") != uint64(fit)+1 {
		t.Errorf("counters: %+v", c)
	}
}

// Defect 15: reading the statistics reset them.
func TestDefect15CountersAreCumulative(t *testing.T) {
	s := newKit(t, Options{})
	for n := range uint64(5) {
		s.run(sensorProgTcIngressEth, query4(80), nil)
		for range 3 {
			if c := s.counters("tc ingress"); c.value("seen") != n+1 || c.value("delivered") != n+1 {
				t.Fatalf("after %d packets: %+v", n+1, c)
			}
		}
	}
}

func TestParseRecord(t *testing.T) {
	good := make([]byte, 48)
	good[16], good[36] = 5, byte(recordHeader)
	copy(good[40:], "abcdefgh")
	if _, data, ok := ParseRecord(good); !ok || string(data) != "abcde" {
		t.Errorf("data %q, %v", data, ok)
	}
	f := func(raw []byte) {
		t.Helper()
		if _, _, ok := ParseRecord(raw); ok {
			t.Errorf("% x is accepted", raw)
		}
	}
	with := func(at int, v byte) []byte {
		b := bytes.Clone(good)
		b[at] = v
		return b
	}
	f(nil)
	f(good[:39])
	f(with(16, 9))    // more data than there is
	f(with(19, 0xff)) // much more
	f(with(36, 39))   // data inside the header
	f(with(36, 44))   // data beyond the end
	if n := testing.AllocsPerRun(100, func() { ParseRecord(good) }); n != 0 {
		t.Errorf("ParseRecord allocates %v times, want 0", n)
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add(make([]byte, 40))
	f.Fuzz(func(t *testing.T, raw []byte) {
		rec, data, ok := ParseRecord(raw)
		if ok && len(data) != int(rec.CapLen) {
			t.Errorf("%d bytes, said to be %d", len(data), rec.CapLen)
		}
	})
}
