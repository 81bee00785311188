//go:build linux

package pages

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestMatches(t *testing.T) {
	numbers := false
	f := func(shown, printed string, open, want bool, reached int) {
		t.Helper()
		ok, n := matches(strings.Split(shown, "|"), strings.Split(printed, "|"), open, numbers)
		if ok != want || n != reached {
			t.Errorf("%q for %q: %v after %d lines, want %v after %d", shown, printed, ok, n, want, reached)
		}
	}
	f("a|b", "a|b", false, true, 2)
	f("a|b", "a|c", false, false, 1)
	f("a", "a|b", false, false, 1)
	f("a", "a|b", true, true, 1)
	f("a|b", "a", true, false, 1)
	f("a|...", "a|b|c", false, true, 2)
	f("a|...", "a", false, true, 2)
	f("...|c", "a|b|c", false, true, 2)
	f("...|c|...|c", "a|c|b|c", false, true, 4)
	f("...|c|...|c", "a|c|b", false, false, 3)
	f("in ..., out 2", "in 17, out 2", false, true, 1)
	f("in ..., out 2", "in 17, out 3", false, false, 0)
	f("a.c", "abc", false, false, 0)
	f("dnsmonster-sensor v0.1 reading", "dnsmonster-sensor dev reading", false, true, 1)
	numbers = true
	f("17:51:10.577 192.0.2.2:42540 rd,ad A? in 3.4 s", "17:09:10.001 192.0.2.1:5 rd,ad A? in 3 s", false, true, 1)
	f("17:51:10.577 rd A?", "17:51:10.577 rd,ad A?", false, false, 0)
	f("dnsmonster-sensor v0.1 reading", "dnsmonster-sensor dev reading", false, true, 1)
}

func TestScreen(t *testing.T) {
	got := screen("10%\r20%\r\x1b[Kdone\r\n\x1b[31mred\x1b[0m  \r\nwaited 1.9 s for the kernel\r\n\r\n")
	if want := []string{"done", "red"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

const example = "# Page\n\n```sh\nfirst   # a comment\n# only a comment\n\nsecond \\\n  --option\ncat >x <<'EOF'\n$ text\nEOF\n```\n\n" +
	"1. item\n\n   ```console\n   $ third\n   shown\n\n   ...\n   $ fourth\n   ```\n\n```ini\n# /etc/dnsmonster.ini\nkey = 1\n```\n\n" +
	"```sh skip=needs-a-second-machine\nfifth\n```\n\n```text\nno command\n```\n"

func TestParse(t *testing.T) {
	p, err := Parse("page.md", example)
	if err != nil {
		t.Fatal(err)
	}
	want := []Step{
		{Line: 4, Command: "first   # a comment"},
		{Line: 7, Command: "second \\\n  --option"},
		{Line: 9, Command: "cat >x <<'EOF'\n$ text\nEOF"},
		{Line: 17, Command: "third", Compare: true, Shown: []string{"shown", "", "..."}},
		{Line: 21, Command: "fourth", Compare: true},
		{Line: 24, Path: "/etc/dnsmonster.ini", Text: "# /etc/dnsmonster.ini\nkey = 1\n"},
		{Line: 30, Command: "fifth", Skip: "needs-a-second-machine"},
	}
	if !reflect.DeepEqual(p.Steps, want) {
		t.Errorf("steps are\n%+v\nwant\n%+v", p.Steps, want)
	}
	for _, wrong := range []string{"```\nx\n```\n", "```sh skip=later\nx\n```\n", "```sh skp=a-b\nx\n```\n", "```console\nx\n```\n", "```text skip=no-command\nx\n```\n"} {
		if _, err := Parse("page.md", wrong); err == nil {
			t.Errorf("%q is accepted", wrong)
		}
	}
}

func TestExamples(t *testing.T) {
	text := "Use `sudo dnsmonster-sensor attach eth0 --port 53`, or `journalctl -u dnsmonster-sensor`, or `dnsmonster-sensor`.\n\n```sh\n" +
		"A=1 /usr/bin/dnsmonster-sensor replay '{a > b}' > x | dnsmonster-sensor replay - 2>log  # dnsmonster-sensor no\n```\n\n" +
		"```console\n$ dnsmonster-sensor --wrong\ndnsmonster-sensor: unknown option --wrong\n```\n"
	var got []string
	for _, e := range Examples("page.md", text) {
		got = append(got, e.Text)
	}
	want := []string{"dnsmonster-sensor replay '{a > b}'", "dnsmonster-sensor replay -", "dnsmonster-sensor attach eth0 --port 53"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestWrongPagesAreFound: each way in which a page can be wrong is reported, and a page
// that is right is not.
func TestWrongPagesAreFound(t *testing.T) {
	page := func(text string) *Page {
		t.Helper()
		p, err := Parse("page.md", text)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	m := newMachine(t, root, page("```sh\ntrue\n```\n"))
	f := func(text, want string) {
		t.Helper()
		for _, s := range page(text).Steps {
			got := m.perform(t, "page.md", s, true)
			if want == "" && got != "" || !strings.Contains(got, want) {
				t.Errorf("%s\nreports %q, want %q", text, got, want)
			}
		}
	}
	f("```sh\ndnsmonster-sensor replay day.pcap --jsonfield=vlan\n```\n", "exit status 1, want 0")
	f("```sh\ndnsmonster-sensor replay night.pcap\n```\n", "exit status ")
	f("```sh\ndnsmonster-sensor replay night.pcap | cat\n```\n", "exit status ")
	f("```sh\nfalse   # exit status 1\n```\n", "")
	f("```console\n$ wc -c <day.pcap\n9472\n```\n", "")
	f("```console\n$ wc -c <day.pcap\n9473\n```\n", "✗ 9473")
	f("```console\n$ echo more; echo than shown\nmore\n```\n", "more was printed")
	f("```console\n$ dnsmonster-sensor nonsense\ndnsmonster-sensor: ...nonsense...\n```\n", "")
	f("```console\n$ dnsmonster-sensor attach eth0\n...\n... A? www.example.org.\n...\n^C\n...\n```\n", "")
	f("```console\n$ dnsmonster-sensor attach eth0\n...\n^C\nno such end\n```\n", "✗ no such end")
	f("```sh\ncd /etc\n```\n", "") // the next command is typed in the same shell
	f("```console\n$ pwd\n/etc\n```\n", "")
}
