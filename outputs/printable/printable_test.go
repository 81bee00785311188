package printable

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestWriter(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		var b bytes.Buffer
		if n, err := NewWriter(&b).Write([]byte(text)); n != len(text) || err != nil || b.String() != want {
			t.Errorf("%q: %q, %d, %v; want %q", text, b.String(), n, err, want)
		}
	}
	f("", "")
	f("a line\nand\ttwo é \u2028\n", "a line\nand\ttwo é \u2028\n")
	f("\x1b[31m\r\x00\x7f", `\u001b[31m\u000d\u0000\u007f`)
	f("\u0085\u009b\u00a0", `\u0085\u009b`+"\u00a0")
	f("\x9b31m\xff\xc3", `\x9b31m\xff\xc3`)
	f("\ufffd", "\ufffd")
	f("a\u202egro.elpmaxe\u2069 é", `a\u202egro.elpmaxe\u2069`+" é")
}

func TestOneLineError(t *testing.T) {
	f := func(err error, want string) {
		t.Helper()
		if got := OneLineError(err); got != want {
			t.Errorf("%q: %q, want %q", err, got, want)
		}
	}
	server := errors.New("no such table\nunaccounted 0\r")
	f(errors.New("plain"), "plain")
	f(server, `no such table\nunaccounted 0\r`)
	f(fmt.Errorf("connect: %w", server), `connect: no such table\nunaccounted 0\r`)
	f(fmt.Errorf("open %s: %w", "a\nb", errors.Join(errors.New("x"), server)), `open a\nb: x; no such table\nunaccounted 0\r`)
	f(errors.Join(errors.New("x"), fmt.Errorf("y: %w and %w", server, errors.Join(errors.New("p"), errors.New("q")))),
		`x; y: no such table\nunaccounted 0\r and p; q`)
}

// TestWrap: lines break between words, and have at most 80 columns unless a word has more.
func TestWrap(t *testing.T) {
	f := func(want, text string, at, indent int) {
		t.Helper()
		if got := Wrap(text, at, indent); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	long := strings.Repeat("x", 39)
	f(long+" "+long+"y", long+"  "+long+"y", 0, 2)
	f(long+"\n  "+long+"y z", long+" "+long+"y z", 1, 2)
	f(long+long+long+"\ny", long+long+long+" y", 0, 0)
	f("", " ", 4, 4)
}
