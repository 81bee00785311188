package spool

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"

	"dnsmonster-sensor/outputs/safefs"
)

// leftName is the list of what an orderly end has left: a line for each segment
// with its number and the events that wait in it, and a sum of these lines. The
// next Open misses what is on the list and not in the folder. It takes the list
// away, so that it is never older than the last end: after a crash there is none.
const leftName = "left"

// left is one line.
type left struct{ number, events uint64 }

// readLeft reads the list. One that is damaged says nothing.
func readLeft(dir *safefs.Dir) (list []left, err error) {
	data, err := dir.ReadFile(leftName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what the last run left in the spool: %w", err)
	}
	sum := []byte("sum ")
	at := bytes.LastIndex(data, sum)
	if at < 0 || string(data[at:]) != string(sumLine(data[:at])) {
		return nil, nil
	}
	for line := range bytes.Lines(data[:at]) {
		var l left
		if _, err := fmt.Sscanf(string(line), "%x %d\n", &l.number, &l.events); err != nil {
			return nil, nil
		}
		list = append(list, l)
	}
	return list, nil
}

func sumLine(lines []byte) []byte {
	return fmt.Appendf(nil, "sum %08x\n", crc32.Checksum(lines, castagnoli))
}

// writeLeft makes the list. It is called at the end, when nothing moves.
func (s *Spool) writeLeft() error {
	var lines []byte
	s.mu.Lock()
	for _, seg := range s.segs {
		if n := seg.all.less(seg.out); n.events > 0 && !seg.cutOff {
			lines = fmt.Appendf(lines, "%016x %d\n", seg.number, n.events)
		}
	}
	for _, l := range s.missed {
		lines = fmt.Appendf(lines, "%016x %d\n", l.number, l.events)
	}
	s.mu.Unlock()
	if len(lines) == 0 {
		return nil
	}
	f, err := s.dir.OpenFile(leftName, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err == nil {
		_, err = f.Write(append(lines, sumLine(lines)...))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("note what is left in the spool: %w", err)
	}
	return nil
}

// miss counts what was left and is not there, and takes the list away.
func (s *Spool) miss(numbers []uint64) error {
	list, err := readLeft(s.dir)
	if err != nil {
		return err
	}
	lost := missing(list, numbers)
	for _, l := range lost {
		s.mu.Lock()
		s.stats.Recovered += l.events
		s.stats.Damaged += l.events
		s.missed = append(s.missed, l)
		s.mu.Unlock()
		s.o.Log.Error("a file of the spool has vanished since the last run", "file", s.dir.Join(fileName(l.number, blocksSuffix)), "events_lost", l.events)
	}
	if err := s.dir.Remove(leftName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read what the last run left in the spool: %w", err)
	}
	return nil
}

// missing are those of the list that are not among numbers.
func missing(list []left, numbers []uint64) (lost []left) {
	there := make(map[uint64]bool)
	for _, n := range numbers {
		there[n] = true
	}
	for _, l := range list {
		if !there[l.number] {
			lost = append(lost, l)
		}
	}
	return lost
}
