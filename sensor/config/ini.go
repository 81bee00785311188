package config

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// File holds the lines of a configuration file.
type File struct {
	Path    string
	Entries []Entry
	failed  []string // keys of malformed lines
}

// Entry is one line "key = value".
type Entry struct {
	Section string // as written; "" before the first section
	Key     string // as written
	Value   string
	Line    int
}

// maxLine bounds the length of a line. The longest sensible lines are lists of addresses.
const maxLine = 1 << 20

// ReadFile reads a configuration file, like Read. The File is nil if it cannot be opened.
func ReadFile(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // it has the operation and the path
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s is a folder: name a file in it", path)
	}
	return Read(path, f)
}

// maxWrong bounds how many wrong lines of a file are named. A file with more is probably
// not a configuration.
const maxWrong = 20

// Read reads the same syntax as dnsmonster's INI reader. Only "=" separates key and
// value. ";" and "#" start a comment only at the start of a line. A value in double
// quotes is unquoted as in Go. A repeated key is kept each time. A key may come before
// any section.
//
// What looks like a comment after a value is an error. dnsmonster took it as part of the
// value, which nobody intends.
//
// INI libraries do not fit: they accept comments after values, ":" as separator, escapes
// and continued lines, which changes the meaning of existing files; and none of them
// has the line number of a wrong key.
//
// The error joins those of all wrong lines. The File has the entries of all others.
func Read(path string, r io.Reader) (*File, error) {
	file := &File{Path: path}
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	section, number := "", 0
	var errs []error
	for s.Scan() {
		if number++; len(errs) == maxWrong {
			errs = append(errs, fmt.Errorf("%s line %d: not read, because too many lines before it are wrong: is this a configuration?", path, number))
			break
		}
		raw := s.Bytes()
		if number == 1 {
			raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
		}
		text := strings.TrimSpace(string(raw))
		if text == "" || text[0] == ';' || text[0] == '#' {
			continue
		}
		if text[0] == '[' {
			name, err := sectionName(text)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s line %d: %w", path, number, err))
			}
			section = name // "" if it is wrong: then the keys may belong to any section
			continue
		}
		e, err := entry(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s line %d: %w", path, number, err))
			key, _, _ := strings.Cut(text, "=")
			file.failed = append(file.failed, strings.ToLower(strings.TrimSpace(key)))
			continue
		}
		e.Section, e.Line = section, number
		file.Entries = append(file.Entries, e)
	}
	if err := s.Err(); err != nil {
		errs = append(errs, fmt.Errorf("%s line %d: %w", path, number+1, err))
	}
	return file, errors.Join(errs...)
}

// HasKnown reports whether any entry has the name of an option.
func (f *File) HasKnown(known []Option) bool {
	return slices.ContainsFunc(f.Entries, func(e Entry) bool { return find(known, strings.ToLower(e.Key)) != nil })
}

// LooksLikeConfig reports whether content is probably a configuration: each line has the
// form of one, all sections are known, and so are at least half of the keys, since some
// may be mistyped. Empty content counts as a configuration.
func LooksLikeConfig(content []byte, known []Option) bool {
	keys, strange := 0, 0
	for line := range bytes.Lines(bytes.TrimPrefix(content, []byte("\ufeff"))) {
		text := strings.TrimSpace(string(line))
		switch {
		case text == "" || text[0] == ';' || text[0] == '#':
			if !isPrintable(strings.ReplaceAll(text, "\t", " ")) {
				return false
			}
		case text[0] == '[':
			name, err := sectionName(text)
			if err != nil || !slices.ContainsFunc(known, func(o Option) bool { return o.Section == strings.ToLower(name) }) {
				return false
			}
		default:
			key, _, ok := strings.Cut(text, "=")
			if !ok {
				return false
			}
			if o := find(known, strings.ToLower(strings.TrimSpace(key))); o != nil && o.Section != "" {
				keys++
			} else {
				strange++
			}
		}
	}
	return keys >= strange && (keys > 0 || len(bytes.TrimSpace(content)) == 0)
}

// SetKeys returns those of keys, in lower case, to which a configuration gives a value.
func SetKeys(content []byte, keys []string) (found []string) {
	for line := range bytes.Lines(content) {
		name, value, _ := strings.Cut(string(line), "=")
		if name = strings.ToLower(strings.TrimSpace(name)); strings.TrimSpace(value) != "" && slices.Contains(keys, name) {
			found = append(found, name)
		}
	}
	return found
}

func sectionName(text string) (string, error) {
	name, rest, ok := strings.Cut(text[1:], "]")
	name, rest = strings.TrimSpace(name), strings.TrimSpace(rest)
	switch {
	case ok && rest != "" && (rest[0] == ';' || rest[0] == '#'):
		return "", errors.New("a comment needs a line of its own: nothing may follow a section's name")
	case !ok || name == "" || rest != "":
		return "", errors.New("not a section such as [capture]")
	}
	return name, nil
}

func entry(text string) (Entry, error) {
	key, value, ok := strings.Cut(text, "=")
	key = strings.TrimSpace(key)
	if !ok || key == "" {
		return Entry{}, errors.New("not of the form key = value") // the text may be a password
	}
	at := commentStart(value)
	plain := strings.TrimSpace(value)
	if !strings.HasPrefix(plain, `"`) {
		if at >= 0 {
			return Entry{}, fmt.Errorf("key %s: its value ends in a comment, which needs a line of its own; if %q is part of the value, put the value in double quotes",
				nameOrMask(key), value[at:at+1])
		}
		return Entry{Key: key, Value: plain}, nil
	}
	unquoted, err := strconv.Unquote(plain)
	if err == nil {
		return Entry{Key: key, Value: unquoted}, nil
	}
	if quotes, err := strconv.QuotedPrefix(plain); err == nil && commentStart(strings.TrimSpace(plain[len(quotes):])) == 0 {
		return Entry{}, fmt.Errorf("key %s: a comment follows its value; it needs a line of its own", nameOrMask(key))
	}
	return Entry{}, fmt.Errorf("key %s: its value begins with a double quote, but is no correct quoted text", nameOrMask(key))
}

// commentStart returns the offset of what looks like a comment in a value: ";" or "#" at
// its start or after white space. It returns -1 if there is none.
func commentStart(value string) int {
	before := ' '
	for i, c := range value {
		if (c == ';' || c == '#') && unicode.IsSpace(before) {
			return i
		}
		before = c
	}
	return -1
}

// quoteIfNeeded writes a value so that entry reads it back unchanged.
func quoteIfNeeded(value string) string {
	if strings.HasPrefix(value, `"`) || strings.TrimSpace(value) != value || !isPrintable(value) || commentStart(value) >= 0 {
		return strconv.Quote(value)
	}
	return value
}

func isPrintable(s string) bool {
	for _, r := range s {
		if r == '\ufffd' || !strconv.IsPrint(r) {
			return false
		}
	}
	return true
}
