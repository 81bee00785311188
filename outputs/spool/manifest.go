package spool

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"maps"
)

// lefts is what an orderly end has left: for each segment the events that wait in
// it. It stands in the lock, which every process that takes the folder overwrites:
// so it is never older than the last end, whichever build that was, and after a
// crash there is none. The next Open misses what is on the list and not in the
// folder.
type manifest map[uint64]uint64

// readLeft reads the list. Where there is another text, or a damaged list, it
// says nothing.
func parseManifest(text []byte) manifest {
	at := bytes.LastIndex(text, []byte("sum "))
	if at < 0 || string(text[at:]) != string(checksumLine(text[:at])) {
		return nil
	}
	list := make(manifest)
	for line := range bytes.Lines(text[:at]) {
		var number, events uint64
		if _, err := fmt.Sscanf(string(line), "%x %d\n", &number, &events); err != nil {
			return nil
		}
		list[number] = events
	}
	return list
}

func checksumLine(lines []byte) []byte {
	return fmt.Appendf(nil, "sum %08x\n", crc32.Checksum(lines, castagnoli))
}

// without is the list without segments of these numbers.
func (l manifest) without(numbers []uint64) manifest {
	rest := maps.Clone(l)
	for _, n := range numbers {
		delete(rest, n)
	}
	return rest
}

// writeLeft makes the list. It is called at the end, when nothing moves.
func (s *Spool) writeManifest() error {
	if s.discarded {
		if len(s.foundLock) == 0 {
			return nil
		}
		return s.rewriteLock(s.foundLock)
	}
	var lines []byte
	s.mu.Lock()
	for _, seg := range s.segs {
		if n := seg.total.less(seg.taken); n.events > 0 && !seg.detached {
			lines = fmt.Appendf(lines, "%016x %d\n", seg.number, n.events)
		}
	}
	s.mu.Unlock()
	if len(lines) == 0 {
		return nil
	}
	return s.rewriteLock(append(lines, checksumLine(lines)...))
}

func (s *Spool) rewriteLock(text []byte) error {
	if s.lock == nil {
		return nil
	}
	if err := rewrite(s.lock, text); err != nil {
		return fmt.Errorf("write manifest of spool: %w", err)
	}
	return nil
}

// miss counts what was left and is not there.
func (s *Spool) countMissing(list manifest, numbers []uint64) {
	for n, events := range list.without(numbers) {
		s.countLost("a file of the spool has vanished since the last run", s.dir.Join(fileName(n, blocksSuffix)), events)
	}
}

// lose counts events of an earlier run that are not in the folder any more.
func (s *Spool) countLost(how, file string, events uint64) {
	s.mu.Lock()
	s.stats.Recovered += events
	s.stats.Damaged += events
	s.mu.Unlock()
	s.o.Log.Error(how, "file", file, "events_lost", events)
}
