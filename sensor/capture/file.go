package capture

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/userspace/packet"
)

// mapped is one file's bytes.
type mapped struct {
	path string
	file *os.File
	data []byte
}

// mapFile maps a regular file. It returns nil for one that cannot be mapped and
// has to be read.
func mapFile(path string) (*mapped, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	m := &mapped{path: path, file: f}
	if st.Size() == 0 {
		return m, nil
	}
	m.data, err = unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EACCES) { // some file systems cannot
		f.Close()
		return nil, nil
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	_ = unix.Madvise(m.data, unix.MADV_SEQUENTIAL) // a hint; reading works without
	return m, nil
}

// unmap may be called for nil.
func (m *mapped) unmap() {
	if m == nil {
		return
	}
	if m.data != nil {
		unix.Munmap(m.data)
		m.data = nil
	}
	m.file.Close()
}

// shrunk reports whether the file has become shorter than what is mapped: bytes
// behind its end cannot be touched any more.
func (m *mapped) shrunk() bool {
	st, err := m.file.Stat()
	return err != nil || st.Size() < int64(len(m.data))
}

// walk fills b from one mapped file, and leaves the file where it ends or is
// damaged.
func (l *inputLane) walk(b *packet.Batch, m *mapped) {
	if m.shrunk() {
		l.Shrunk()
		return
	}
	if l.format == nil {
		f, off, _ := newFormat(m.data, l.source.told(m.path)) // checked when it was opened
		l.format, l.offset = asRaw(f, l.source.raw), off
	}
	if cap(b.Packets) < fileBatch {
		b.Packets = make([]packet.Packet, 0, fileBatch)
	}
	list, kept, walked := b.Packets[:fileBatch], 0, uint64(0)
	for range 4 * fileBatch { // bounded, so that Close is noticed in long runs of others' packets
		if kept == fileBatch {
			break
		}
		if l.offset >= l.warm {
			l.warmUp(m.data)
		}
		p := &list[kept] // the next packet takes the place of one that is not kept
		next, err := l.format.record(m.data, l.offset, p)
		l.offset = next
		if err != nil {
			if err != io.EOF {
				l.source.fail(fmt.Errorf("read %s: offset %d: %w", m.path, next, err))
			}
			l.walked.Add(walked)
			l.next()
			b.Packets = list[:kept]
			return
		}
		walked++
		if l.of == 1 || l.choose(p).Lane(l.of) == l.number {
			kept++
		}
	}
	b.Packets = list[:kept]
	l.walked.Add(walked)
	l.position.Store(l.before + int64(l.offset))
}

// warmAhead is how many bytes of a mapped file are brought into the cache at
// once: little beside a core's second level, and enough for a batch of small
// packets.
const (
	warmAhead = 32 << 10
	cacheLine = 64
)

// warmUp touches the next bytes of a file, all of them at the same time. The
// walk by itself goes from one packet's length to the next, and would wait for
// memory at each.
func (l *inputLane) warmUp(data []byte) {
	end := min(l.offset+warmAhead, len(data))
	touched := byte(0)
	for i := l.offset; i < end; i += cacheLine {
		touched |= data[i]
	}
	l.touched |= touched
	l.warm = end
}

// Shrunk gives up the file being walked because it has become shorter. The
// worker calls it, too, when it touches bytes that are gone.
func (l *inputLane) Shrunk() {
	in := l.source.items[l.item.Load()]
	l.source.fail(fmt.Errorf("read %s: offset %d: the file became shorter while it was read", in.path, l.offset))
	l.next()
}
