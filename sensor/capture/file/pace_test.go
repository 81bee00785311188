//go:build linux

package file

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"dnsmonster-sensor/userspace/packet"
)

func TestPaceDue(t *testing.T) {
	now := time.Unix(100, 0)
	f := func(p pace, stamp time.Duration, later, want time.Duration) {
		t.Helper()
		if got := p.due(int64(stamp), now.Add(later)); got != want {
			t.Errorf("at speed %v, %s after the start: a packet of %s is due in %s, want %s", p.speed, later, stamp, got, want)
		}
	}
	begun := func(speed float64) pace { return pace{speed: speed, first: int64(time.Hour), begun: now} }
	f(pace{speed: 1}, time.Hour, 0, 0)
	f(begun(0), 2*time.Hour, 0, 0)
	f(begun(1), time.Hour+time.Second, 0, time.Second)
	f(begun(1), time.Hour+time.Second, 400*time.Millisecond, 600*time.Millisecond)
	f(begun(1), time.Hour+time.Second, 3*time.Second, -2*time.Second)
	f(begun(10), time.Hour+time.Second, 0, 100*time.Millisecond)
	f(begun(0.5), time.Hour+time.Second, 0, 2*time.Second)
	f(begun(1), time.Hour-time.Second, 0, 0) // before the first packet
	f(begun(1), 0, 0, 0)                     // without a time
}

// stamped makes a capture file of numbered frames that all have the same time.
func stamped(from, n int, seconds, micros uint32) []byte {
	content := pcapFile(binary.LittleEndian, pcapMicros, 1, numbered(from, n)...)
	for i, off := 0, 24; i < n; i++ {
		binary.LittleEndian.PutUint32(content[off:], seconds)
		binary.LittleEndian.PutUint32(content[off+4:], micros)
		off += 16 + 5 + (from+i)%200
	}
	return content
}

// TestSpeed: the replay of a recording takes its duration divided by the speed. At the
// wrong speed the second file would take a day.
func TestSpeed(t *testing.T) {
	f := func(speed float64, content []byte, n int, least time.Duration) {
		t.Helper()
		s, err := Open(Options{Paths: []string{write(t, content)}, Lanes: 2, Choose: byFirstByte, Speed: speed})
		if err != nil {
			t.Fatal(err)
		}
		from := time.Now()
		late := time.AfterFunc(time.Minute, func() { s.Close() })
		defer late.Stop()
		complete(t, fmt.Sprint("speed ", speed), drain(t, s), n)
		if took := time.Since(from); took < least {
			t.Errorf("speed %v took %s, want %s", speed, took, least)
		}
	}
	f(1, pcapFile(binary.LittleEndian, pcapMicros, 1, numbered(0, 300)...), 300, 295*time.Millisecond) // a millisecond apart
	day := append(stamped(0, 10, 1700000000, 0), stamped(10, 10, 1700000000+86400, 0)[24:]...)
	f(864000, day, 20, 95*time.Millisecond)
}

// TestSpeedOverFiles: the clock goes on from file to file, and packets from before the
// first packet are due at once.
func TestSpeedOverFiles(t *testing.T) {
	at := func(from, n int, seconds, micros uint32) string { return write(t, stamped(from, n, seconds, micros)) }
	s, err := Open(Options{
		Paths: []string{at(0, 10, 1700000000, 0), at(10, 10, 1700000000, 300_000), at(20, 10, 1600000000, 0)},
		Lanes: 2, Choose: byFirstByte, Speed: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	from := time.Now()
	complete(t, "three files", drain(t, s), 30)
	if took := time.Since(from); took < 290*time.Millisecond || took > time.Minute { // the last one is years earlier
		t.Errorf("files 300 ms apart took %s", took)
	}
}

// TestSpeedClose: Close does not wait for a packet that is due tomorrow.
func TestSpeedClose(t *testing.T) {
	content := pcapFile(binary.LittleEndian, pcapMicros, 1, numbered(0, 2)...)
	binary.LittleEndian.PutUint32(content[24+16+5:], 1700000000+86400)
	s, err := Open(Options{Paths: []string{write(t, content)}, Lanes: 1, Choose: byFirstByte, Speed: 1})
	if err != nil {
		t.Fatal(err)
	}
	var b packet.Batch
	if readSome(t, s.Lanes()[0], &b); len(b.Packets) != 1 {
		t.Fatalf("%d packets; want the first one at once", len(b.Packets))
	}
	from := time.Now()
	s.Close()
	if all := drain(t, s); len(all) != 0 || s.Given() != 1 || time.Since(from) > time.Minute {
		t.Errorf("%d more frames, Given is %d, after %s", len(all), s.Given(), time.Since(from))
	}
}
