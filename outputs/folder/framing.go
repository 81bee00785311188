package folder

import (
	"errors"
	"fmt"
	"os"
)

// Framing is what the files of an output look like.
type Framing struct {
	Name    string // of the current file
	Lock    string // name of the file that is locked while a sensor writes there
	Header  string // at the beginning of each file
	Trailer string // at the end of a finished file; with one, a file is never empty

	// End returns where the last whole record of a file ends, not counting a trailer. It
	// returns an ErrForeign for a file that must be neither continued nor cut.
	End func(file *os.File, size int64) (int64, error)
}

// ErrForeign is the error for a file with something else in it.
var ErrForeign = errors.New("not written by this output")

// Lines is the framing of records that are lines of text.
func Lines(header string) Framing {
	return Framing{Name: "dnsmonster.log", Lock: ".dnsmonster.lock", Header: header, End: lastLineEnd}
}

// longestLine bounds the search for a line end: the longest record has a few hundred
// KiB.
const longestLine = 16 << 20

// lastLineEnd returns the offset after the last line end.
func lastLineEnd(file *os.File, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for end := size; end > 0; {
		if size-end > longestLine {
			return 0, fmt.Errorf("%s: %w of records: its last %d MiB have no line end", file.Name(), errNotRegular, longestLine>>20)
		}
		start := max(0, end-int64(len(buf)))
		part := buf[:end-start]
		if _, err := file.ReadAt(part, start); err != nil {
			return 0, err
		}
		for i := len(part) - 1; i >= 0; i-- {
			if part[i] == '\n' {
				return start + int64(i) + 1, nil
			}
		}
		end = start
	}
	return 0, nil
}

// lacksRecords reports whether a file of that size has none.
func (f *Folder) lacksRecords(size int64) bool {
	switch {
	case f.Trailer == "":
		return size == 0
	case f.ended:
		size -= int64(len(f.Trailer))
	}
	return size <= int64(len(f.Header))
}

// begin writes the header of an empty file, if a reader cannot do without.
func (f *Folder) begin(file *os.File) error {
	st, err := file.Stat()
	if err != nil || f.Trailer == "" || st.Size() > 0 {
		return err
	}
	if _, err = file.WriteString(f.Header); err != nil {
		return errors.Join(err, f.dir.Truncate(file, f.Name, 0))
	}
	return nil
}

// end writes the trailer. A file of another format gets none.
func (f *Folder) end() error {
	if f.Trailer == "" || f.ended || f.torn {
		return nil
	}
	st, err := f.file.Stat()
	if err != nil || st.Size() == 0 || !beginsWith(f.file, f.Header) {
		return err
	}
	if _, err := f.file.WriteString(f.Trailer); err != nil {
		f.torn, f.wholeSize = true, st.Size()
		return errors.Join(err, f.undoTornBlock())
	}
	f.ended = true
	return nil
}

// resume removes the trailer, and returns the file's size.
func (f *Folder) resume() (int64, error) {
	st, err := f.file.Stat()
	if err != nil {
		return 0, err
	}
	size := st.Size()
	if !f.ended {
		return size, nil
	}
	if f.endsWithTrailer(f.file, size) { // otherwise it was truncated meanwhile
		size -= int64(len(f.Trailer))
		err = f.dir.Truncate(f.file, f.Name, size)
	}
	if err == nil {
		f.ended = false
	}
	return size, err
}

func (f *Folder) endsWithTrailer(file *os.File, size int64) bool {
	at := size - int64(len(f.Trailer))
	end := make([]byte, len(f.Trailer))
	n, _ := file.ReadAt(end, max(at, 0))
	return at >= 0 && string(end[:n]) == f.Trailer
}

// leave ends and closes a file that is continued no more, or not by this process. Nobody
// waits for it: an error changes nothing.
func (f *Folder) leave() {
	if f.file != nil {
		f.end()
		f.file.Close()
		f.file = nil
	}
}
