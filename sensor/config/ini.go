package config

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// File is a configuration file as it was read.
type File struct {
	Path    string
	Entries []Entry
}

// Entry is one line "key = value".
type Entry struct {
	Section string // as written; "" before the first section
	Key     string // as written
	Value   string
	Line    int
}

// maxLine bounds a line; the longest sensible ones are lists of addresses.
const maxLine = 1 << 20

// ReadFile reads a configuration file.
func ReadFile(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // it names what was done, and the file
	}
	defer f.Close()
	return Read(path, f)
}

// Read reads what dnsmonster's own INI reader would. Only "=" separates key and
// value; ";" and "#" start a comment at the start of a line and nowhere else; a
// value in double quotes is unquoted as in Go. A key that stands several times
// is kept several times, and may come before any section.
//
// INI libraries read more than that: comments behind values, ":" as separator,
// escapes and continued lines, each of which changes what existing files mean,
// and none tells the line of a wrong key.
func Read(path string, r io.Reader) (*File, error) {
	file := &File{Path: path}
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	section, number := "", 0
	for s.Scan() {
		number++
		raw := s.Bytes()
		if number == 1 {
			raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
		}
		text := strings.TrimSpace(string(raw))
		if text == "" || text[0] == ';' || text[0] == '#' {
			continue
		}
		if text[0] == '[' {
			if len(text) < 3 || text[len(text)-1] != ']' {
				return nil, fmt.Errorf("%s line %d: %q is not a section such as [capture]", path, number, text)
			}
			section = strings.TrimSpace(text[1 : len(text)-1])
			continue
		}
		e, err := entry(text)
		if err != nil {
			return nil, fmt.Errorf("%s line %d: %w", path, number, err)
		}
		e.Section, e.Line = section, number
		file.Entries = append(file.Entries, e)
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("%s line %d: %w", path, number+1, err)
	}
	return file, nil
}

func entry(text string) (Entry, error) {
	key, value, ok := strings.Cut(text, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	if !ok || key == "" {
		// What stands behind the first word may be a password.
		word, _, more := strings.Cut(text, " ")
		if more {
			word += " ..."
		}
		return Entry{}, fmt.Errorf("%q is not of the form key = value", word)
	}
	if strings.HasPrefix(value, `"`) {
		plain, err := strconv.Unquote(value)
		if err != nil {
			return Entry{}, fmt.Errorf("key %s: the quotes of its value do not close, or what they hold is wrong", key)
		}
		value = plain
	}
	return Entry{Key: key, Value: value}, nil
}

// quoted writes a value so that entry reads the same again.
func quoted(value string) string {
	if strings.HasPrefix(value, `"`) || strings.TrimSpace(value) != value || !printable(value) {
		return strconv.Quote(value)
	}
	return value
}

func printable(s string) bool {
	for _, r := range s {
		if r == '\ufffd' || !strconv.IsPrint(r) {
			return false
		}
	}
	return true
}
