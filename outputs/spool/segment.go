package spool

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"dnsmonster-sensor/outputs/safefs"
	"dnsmonster-sensor/userspace/event"
)

// Segment is one file of blocks. Its fields belong to the Spool.
type Segment struct {
	number       uint64
	dir          *safefs.Dir
	size         int64 // of the blocks in it; a failed write may have left more
	readTo       int64 // Next has read this far
	handedTo     int64 // end of the last block that was handed out
	ages         ages  // of its blocks
	requeued     bool  // a block that was handed out is pending again
	total        tally // what this run wrote, or found and has to deliver
	taken        tally // the part of total that was handed out or is kept in memory by the caller
	sealed       bool  // nothing more is appended
	gone         bool  // the spool has removed it
	newDamage    bool  // damaged or unreadable blocks that no earlier start has counted
	accessLogged bool  // that its file cannot be read now
	detached     bool  // somebody else removed its file; what Next has read of it is still delivered

	doneBlocks  uint64            // blocks that are done
	doneBefore  map[event.ID]bool // entries of the .done file of earlier runs
	knownDamage map[int]bool      // offsets of damage that Open has found
	unreadable  map[event.ID]bool // blocks that have been counted as unreadable
	keepFile    bool              // some unreadable blocks could not be set aside: keep the file

	file *os.File // while Append may write
	done struct {
		sync.Mutex
		file      *os.File
		unwritten []byte // entries that could not be written yet
		removed   bool   // the segment has been removed: write no more entries
	}
}

type tally struct{ blocks, events uint64 }

func (t *tally) add(events int) { t.blocks++; t.events += uint64(events) }
func (t *tally) sub(events int) { t.blocks--; t.events -= uint64(events) }

// less subtracts other from t, down to zero.
func (t tally) less(other tally) tally {
	return tally{t.blocks - min(t.blocks, other.blocks), t.events - min(t.events, other.events)}
}

// complete reports whether every block has an outcome and none will follow.
func (g *Segment) complete() bool {
	return !g.gone && g.sealed && g.taken.blocks == g.total.blocks && g.doneBlocks >= g.total.blocks
}

const (
	blocksSuffix = ".blocks"
	doneSuffix   = ".done"
	lockName     = "lock"
)

func fileName(number uint64, suffix string) string { return fmt.Sprintf("%016x%s", number, suffix) }

func (g *Segment) name() string { return fileName(g.number, blocksSuffix) }
func (g *Segment) path() string { return g.dir.Join(g.name()) }

// remove deletes the segment first and its list of done blocks second: after a crash in
// between, nothing looks undelivered.
func (g *Segment) remove() error {
	if err := g.dir.Remove(g.name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove delivered blocks: %w", err)
	}
	return g.removeDone()
}

// removeDone deletes the list of done blocks of a segment that has no file any more.
func (g *Segment) removeDone() error {
	g.done.Lock()
	g.closeDoneFile()
	g.done.removed = true
	g.done.Unlock()
	if err := g.dir.Remove(fileName(g.number, doneSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove list of delivered blocks: %w", err)
	}
	return nil
}

// An entry of a .done file is the block's id and a CRC-32C of it. A damaged entry means
// that its block is sent once more.
const doneLen = 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (g *Segment) writeDone(id event.ID) error {
	g.done.Lock()
	defer g.done.Unlock()
	if g.done.removed { // meanwhile, by the goroutine that finished the last block
		return nil
	}
	g.done.unwritten = binary.LittleEndian.AppendUint32(append(g.done.unwritten, id[:]...), crc32.Checksum(id[:], castagnoli))
	return g.flushDone()
}

// flushDone writes the pending entries; done is locked. After a failed write some entries
// may be in the file twice, or torn; neither does harm.
func (g *Segment) flushDone() error {
	if len(g.done.unwritten) == 0 {
		return nil
	}
	if g.done.file == nil {
		f, err := g.dir.OpenFile(fileName(g.number, doneSuffix), os.O_CREATE|os.O_APPEND|os.O_WRONLY, fileMode)
		if err != nil {
			return fmt.Errorf("record a delivered block: %w", err)
		}
		g.done.file = f
	}
	if _, err := g.done.file.Write(g.done.unwritten); err != nil {
		return fmt.Errorf("record a delivered block: %w", err)
	}
	g.done.unwritten = g.done.unwritten[:0]
	return nil
}

// closeDone writes the pending entries of a segment whose file stays, and closes its list.
func (g *Segment) closeDone() error {
	g.done.Lock()
	defer g.done.Unlock()
	err := g.flushDone()
	g.closeDoneFile()
	return err
}

// closeDoneFile discards pending entries; done is locked.
func (g *Segment) closeDoneFile() {
	g.done.unwritten = nil
	if g.done.file != nil {
		g.done.file.Close()
		g.done.file = nil
	}
}

func readDone(dir *safefs.Dir, number uint64) (map[event.ID]bool, error) {
	data, err := dir.ReadFile(fileName(number, doneSuffix))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read list of delivered blocks: %w", err)
	}
	ids := make(map[event.ID]bool)
	for len(data) >= doneLen {
		id := event.ID(data[:16])
		if binary.LittleEndian.Uint32(data[16:]) != crc32.Checksum(id[:], castagnoli) {
			data = data[1:] // bytes are missing or inserted: find the next entry
			continue
		}
		ids[id] = true
		data = data[doneLen:]
	}
	return ids, nil
}

// damageID is the entry of a .done file for damage whose loss has been counted: the next
// start does not count it again.
func damageID(at span) (id event.ID) {
	copy(id[:], "lost")
	binary.BigEndian.PutUint32(id[4:], uint32(uint64(at.from)>>32))
	binary.BigEndian.PutUint32(id[8:], uint32(at.from))
	binary.BigEndian.PutUint32(id[12:], uint32(at.len()))
	return id
}

// noteID is the entry of a .done file for a word about a block.
func noteID(id event.ID, word string) (note event.ID) {
	sum := sha256.Sum256(append(id[:], word...))
	copy(note[copy(note[:], "note"):], sum[:])
	return note
}

// isBlockID reports whether an entry of a .done file is the id of a block that is done.
func isBlockID(id event.ID) bool { return string(id[:4]) != "lost" && string(id[:4]) != "note" }

// Noted reports whether an earlier run has noted that word about a block of the segment.
func (g *Segment) Noted(id event.ID, word string) bool { return g.doneBefore[noteID(id, word)] }

// segmentNumbers lists the numbers of the segments in a folder, ascending.
func segmentNumbers(dir *safefs.Dir) ([]uint64, error) { return fileNumbers(dir, blocksSuffix) }

func fileNumbers(dir *safefs.Dir, suffix string) (numbers []uint64, err error) {
	entries, err := dir.ReadDir()
	if err != nil {
		return nil, fmt.Errorf("list spool: %w", err)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		n, err := strconv.ParseUint(name, 16, 64)
		if ok && err == nil && fileName(n, suffix) == e.Name() {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// removeOrphans deletes .done files without a segment, before another segment gets that
// number.
func removeOrphans(dir *safefs.Dir) error {
	numbers, err := segmentNumbers(dir)
	if err != nil {
		return err
	}
	lists, err := fileNumbers(dir, doneSuffix)
	if err != nil {
		return err
	}
	for _, n := range lists {
		if _, found := slices.BinarySearch(numbers, n); found {
			continue
		}
		if err := dir.Remove(fileName(n, doneSuffix)); err != nil {
			return fmt.Errorf("remove list of delivered blocks: %w", err)
		}
	}
	return nil
}
