package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		got := ""
		file, err := Read("f.ini", strings.NewReader(text))
		if err != nil {
			got = err.Error()
		} else {
			for _, e := range file.Entries {
				got += fmt.Sprintf("%s.%s=%q@%d ", e.Section, e.Key, e.Value, e.Line)
			}
		}
		if strings.TrimSpace(got) != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	f("", "")
	f("a = b", `.a="b"@1`)
	f("\n[S]\na=b\n", `S.a="b"@3`)
	f("[s]\r\na = b\r\n", `s.a="b"@2`)
	f("\ufeff[s]\na=b", `s.a="b"@2`)
	f("  [ s ]  \n  a  =  b c  ", `s.a="b c"@2`)
	f("; a = 1\n# b = 2\n  ; c = 3", "")
	f("a = 1;2#3\nb = x#", `.a="1;2#3"@1 .b="x#"@2`)
	f(`a = "1 ; 2"`+"\nb = \"# 3\"", `.a="1 ; 2"@1 .b="# 3"@2`)
	const ownLine = "which needs a line of its own"
	behind := func(line, sign string) {
		t.Helper()
		f(line, `f.ini line 1: key a: its value ends in a comment, `+ownLine+`; if "`+sign+`" is part of the value, put the value in double quotes`)
	}
	behind("a = b.pcap ; hush", ";")
	behind("a = b.pcap\t# hush", "#")
	behind("a = b;c #hush", "#")
	behind("a = ;hush", ";")
	behind("a=#hush", "#")
	behind("a = postgres://h/d#x ; hush", ";")
	f(`a = "b" ; hush`, "f.ini line 1: key a: a comment follows its value; it needs a line of its own")
	f(`a = "b"#hush`, "f.ini line 1: key a: a comment follows its value; it needs a line of its own")
	f("[s] ; hush", "f.ini line 1: a comment needs a line of its own: nothing may follow a section's name")
	f("a: b = c", `.a: b="c"@1`) // ":" does not separate
	f("a = b=c", `.a="b=c"@1`)
	f("a =", `.a=""@1`)
	f(`a = ""`, `.a=""@1`)
	f(`a = " b\t\"c\" "`, `.a=" b\t\"c\" "@1`)
	f(`a = b"c"`, `.a="b\"c\""@1`)
	f(`a = 'b'`, `.a="'b'"@1`)
	f("a = b \\\nc = d", `.a="b \\"@1 .c="d"@2`)
	f("a = 1\na = 2", `.a="1"@1 .a="2"@2`)
	f("[s]\na=1\n[t]\nb=2\n[s]\nc=3", `s.a="1"@2 t.b="2"@4 s.c="3"@6`)
	f("a = 1\nb", `f.ini line 2: not of the form key = value`)
	f("password hush", `f.ini line 1: not of the form key = value`)
	f("= b", `f.ini line 1: not of the form key = value`)
	f("[s", `f.ini line 1: not a section such as [capture]`)
	f("[]", `f.ini line 1: not a section such as [capture]`)
	f("postgres://me:hush@h/d", "f.ini line 1: not of the form key = value")
	f("[x] hush", "f.ini line 1: not a section such as [capture]")
	f("a = 1 ; x\n[s] # y\nb = 2\nc", "f.ini line 1: key a: its value ends in a comment, "+ownLine+`; if ";" is part of the value, put the value in double quotes`+
		"\nf.ini line 2: a comment needs a line of its own: nothing may follow a section's name\nf.ini line 4: not of the form key = value")
	if _, err := Read("f.ini", strings.NewReader(strings.Repeat("x\n", 1000))); len(SplitJoined(err)) != maxWrong+1 || !strings.HasSuffix(err.Error(), "f.ini line 21: not read, because too many lines before it are wrong: is this a configuration?") {
		t.Errorf("a file of something else: %v", err)
	}
	f(`a = "b`, `f.ini line 1: key a: its value begins with a double quote, but is no correct quoted text`)
	f("a = "+strings.Repeat("x", maxLine), "f.ini line 1: bufio.Scanner: token too long")
}

// FuzzRead: no input crashes, and quoteIfNeeded keeps every value.
func FuzzRead(f *testing.F) {
	f.Add("[capture]\nport = 53\nport=\"5353\"\n; c\n")
	f.Add("a = \"\\xff\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Read("f", strings.NewReader(text))
		if err != nil {
			return
		}
		for _, e := range file.Entries {
			again, err := Read("g", strings.NewReader(e.Key+" = "+quoteIfNeeded(e.Value)))
			if strings.ContainsAny(e.Key[:1], ";#[") || strings.HasPrefix(e.Key, "\ufeff") {
				continue // such a key is a comment, a section or a byte order mark at the start of a file
			}
			if err != nil || len(again.Entries) != 1 || again.Entries[0].Value != e.Value {
				t.Errorf("value %q: read back as %+v, %v", e.Value, again, err)
			}
		}
	})
}
