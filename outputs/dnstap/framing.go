package dnstap

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"

	"dnsmonster-sensor/outputs/folder"
	"dnsmonster-sensor/userspace/dnstap"
	"dnsmonster-sensor/userspace/framestream"
)

const fileName = "dnsmonster.fstrm"

// start and stop are the frames around a stream.
var (
	start = framestream.AppendControl(nil, framestream.Start, dnstap.ContentType)
	stop  = framestream.AppendControl(nil, framestream.Stop, "")
)

// framing is that of files. Each is one stream. STOP is at its end while no sensor writes
// to it, and is removed before the next frame: readers go no further than a STOP.
func framing() folder.Framing {
	return folder.Framing{Name: fileName, Lock: ".dnsmonster.fstrm.lock", Header: string(start), Trailer: string(stop), End: lastFrameEnd}
}

// longestTorn bounds what a crash can have left of one block. More is not cut off: the file
// is broken in its middle, and somebody may want to look at it.
const longestTorn = 64 << 20

// lastFrameEnd returns the offset after the last whole data frame.
func lastFrameEnd(file *os.File, size int64) (int64, error) {
	r := bufio.NewReaderSize(io.NewSectionReader(file, 0, size), 1<<20)
	head, err := r.Peek(len(start))
	switch {
	case err != nil && err != io.EOF:
		return 0, err
	case len(head) < len(start) && bytes.HasPrefix(start, head):
		return 0, nil
	case !bytes.Equal(head, start):
		return 0, fmt.Errorf("%s: %w: it does not begin as a dnstap file: move it away", file.Name(), folder.ErrForeign)
	}
	r.Discard(len(start))
	end := int64(len(start))
	for {
		head, err := r.Peek(framestream.HeadLen)
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, err
		}
		n := int64(framestream.Length(head))
		if n == 0 || n > framestream.MaxFrame || end+framestream.HeadLen+n > size {
			break
		}
		if _, err := r.Discard(framestream.HeadLen + int(n)); err != nil {
			return 0, err
		}
		end += framestream.HeadLen + n
	}
	rest, err := r.Peek(len(stop) + len(start))
	if err != nil && err != io.EOF {
		return 0, err
	}
	switch {
	case bytes.HasPrefix(rest, stop) && bytes.HasSuffix(rest, start):
		return 0, fmt.Errorf("%s: %w: it has several streams: move it away", file.Name(), folder.ErrForeign)
	case size-end > longestTorn:
		return 0, fmt.Errorf("%s: %w: it is broken at byte %d: move it away", file.Name(), folder.ErrForeign, end)
	}
	return end, nil
}
