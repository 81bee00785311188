package spool

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"maps"
)

// manifest says how many events wait in each segment after an orderly end. It is kept in the
// lock file, which every process that takes the folder overwrites. So it always describes
// the last end, whichever build that was, and after a crash there is none. The
// next Open reports what is in the manifest but not in the folder.
type manifest map[uint64]uint64

// parseManifest reads the manifest. It returns nil for any other text, and for a damaged
// manifest.
func parseManifest(text []byte) manifest {
	at := bytes.LastIndex(text, []byte("sum "))
	if at < 0 || string(text[at:]) != string(checksumLine(text[:at])) {
		return nil
	}
	m := make(manifest)
	for line := range bytes.Lines(text[:at]) {
		var number, events uint64
		if _, err := fmt.Sscanf(string(line), "%x %d\n", &number, &events); err != nil {
			return nil
		}
		m[number] = events
	}
	return m
}

func checksumLine(lines []byte) []byte {
	return fmt.Appendf(nil, "sum %08x\n", crc32.Checksum(lines, castagnoli))
}

// without returns the manifest without these segments.
func (m manifest) without(numbers []uint64) manifest {
	rest := maps.Clone(m)
	for _, n := range numbers {
		delete(rest, n)
	}
	return rest
}

// writeManifest is called at the end, when nothing moves any more.
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

// countMissing counts the events of segments that are in the manifest but not in the folder.
func (s *Spool) countMissing(m manifest, numbers []uint64) {
	for n, events := range m.without(numbers) {
		s.countLost("a file of the spool has vanished since the last run", s.dir.Join(fileName(n, blocksSuffix)), events)
	}
}

// countLost counts events of an earlier run that are no longer in the folder.
func (s *Spool) countLost(how, file string, events uint64) {
	s.mu.Lock()
	s.stats.Recovered += events
	s.stats.Damaged += events
	s.mu.Unlock()
	s.o.Log.Error(how, "file", file, "events_lost", events)
}
