//go:build linux

package cli

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	doc "dnsmonster-sensor/test/pages"
)

// TestExamplesAreUnderstood: the program understands every command line of its own that a
// page names, in a block or in backticks, and that its help shows: the options exist, and
// their values are valid. Nothing is run; package test/pages runs what pages ask to type.
func TestExamplesAreUnderstood(t *testing.T) {
	const root = "../.."
	var list []doc.Example
	files, err := doc.Files(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, doc.Examples(name, string(text))...)
	}
	inPages := len(list)
	app := newApp(io.Discard, io.Discard)
	list = append(list, helpExamples("dnsmonster-sensor --help", app.Description)...)
	for _, c := range app.Commands {
		list = append(list, commandExamples(c)...)
	}
	inHelp := len(list) - inPages
	config := filepath.Join(t.TempDir(), "dnsmonster.ini")
	if err := os.WriteFile(config, []byte("devname = eth0\nstdoutoutputtype = 1\nfileoutputtype = 1\nfileoutputpath = /var/log/dnsmonster-sensor\n"+
		"psqloutputtype = 1\npsqlendpoint = postgres://sensor@db.example.org/dns\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if err := understand(e.Text, config); err != nil {
			t.Errorf("%s:%d: %s: %v", e.Page, e.Line, e.Text, err)
		}
	}
	t.Logf("%d command lines in pages, %d in help", inPages, inHelp)
	if inPages < 80 || inHelp < 15 {
		t.Errorf("only %d command lines in pages and %d in help were found", inPages, inHelp)
	}
}

func commandExamples(c *cli.Command) []doc.Example {
	list := helpExamples(c.Name+" --help", c.Description)
	for _, sub := range c.Subcommands {
		list = append(list, commandExamples(sub)...)
	}
	return list
}

// helpExamples are the lines of a help text that name the program. An explanation follows
// after two spaces.
func helpExamples(where, text string) (list []doc.Example) {
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "  ")
		for _, e := range doc.Examples(where, "`"+line+"`") {
			e.Line = i + 1
			list = append(list, e)
		}
	}
	return list
}

var (
	exampleWord   = regexp.MustCompile(`(?:[^\s'"]+|'[^']*'|"[^"]*")+`)
	exampleQuoted = regexp.MustCompile(`'[^']*'|"[^"]*"`)
	exampleFile   = regexp.MustCompile(`(-{1,2}config[= ])\S+`)
	placeholder   = regexp.MustCompile(`\.\.\.|<[a-z]|…`)
)

// understand resolves a command line, and checks the values where it would capture.
func understand(line, config string) error {
	if placeholder.MatchString(line) {
		return nil
	}
	args := exampleWord.FindAllString(exampleFile.ReplaceAllString(line, "${1}"+config), -1)
	for i, a := range args {
		args[i] = exampleQuoted.ReplaceAllStringFunc(a, func(s string) string { return s[1 : len(s)-1] })
	}
	app := newApp(io.Discard, io.Discard)
	inv, err := invoke(app, args, nil)
	if err != nil || inv.help != nil || inv.version || !inv.captures() {
		return err
	}
	inv.trial = true
	return inv.run(app)
}
