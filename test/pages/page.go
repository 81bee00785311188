//go:build linux

// Package pages runs the commands that the project's pages show, as a reader would type
// them, on a machine of its own for each page: a lab's host with an interface eth0 and a
// DNS server on its wire, an /etc of its own, and capture files. Where a page shows what a
// command prints, that is compared. CONTRIBUTING.md tells the writers of pages what the
// blocks mean. Only tests use this package.
package pages

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A Page is what a Markdown file asks of its reader, in the file's order.
type Page struct {
	Name  string // its path from the module's root
	Steps []Step
}

// A Step is one command, or one file that the reader writes.
type Step struct {
	Line    int
	Command string   // what is typed; several lines for a here-document
	Shown   []string // what the page shows as printed, with Compare's "..."
	Compare bool     // the page shows what is printed
	Numbers bool     // the numbers in it may be others
	Skip    string   // why it cannot run in a test

	Path string // of a file, instead of a command
	Text string // what is in it
}

// A Block is a fenced block.
type Block struct {
	Line  int // of its first fence
	Info  string
	Lines []string
}

var fence = regexp.MustCompile("^ *```+ *(.*)$")

// Blocks returns the fenced blocks of a Markdown text, without the indent of their fence,
// and the lines that stand outside them; those inside are empty there.
func Blocks(text string) (blocks []Block, prose []string) {
	var open *Block
	indent := 0
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case m != nil && open == nil:
			open = &Block{Line: i + 1, Info: strings.TrimSpace(m[1])}
			indent = len(line) - len(strings.TrimLeft(line, " "))
		case m != nil:
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			cut := min(indent, len(line)-len(strings.TrimLeft(line, " ")))
			open.Lines = append(open.Lines, line[cut:])
		default:
			prose = append(prose, line)
			continue
		}
		prose = append(prose, "")
	}
	if open != nil {
		blocks = append(blocks, *open)
	}
	return blocks, prose
}

// Parse finds the steps of a page.
func Parse(name, text string) (*Page, error) {
	p := &Page{Name: name}
	blocks, _ := Blocks(text)
	for _, b := range blocks {
		kind, rest, _ := strings.Cut(b.Info, " ")
		reason, skipped := strings.CutPrefix(strings.TrimSpace(rest), "skip=")
		numbers := kind == "console" && rest == "numbers=any"
		var steps []Step
		switch kind {
		case "sh":
			steps = commands(b)
		case "console":
			steps = dialogue(b)
			if len(steps) == 0 {
				return nil, fmt.Errorf("%s:%d: a console block without a line that starts with \"$ \"", name, b.Line)
			}
		case "":
			return nil, fmt.Errorf("%s:%d: a block without a word after its fence, such as sh, console, text or ini", name, b.Line)
		default:
			steps = writes(b)
		}
		switch {
		case skipped && (len(steps) == 0 || !strings.Contains(reason, "-")):
			return nil, fmt.Errorf("%s:%d: skip= needs a command that is skipped, and a reason such as: needs-a-second-machine", name, b.Line)
		case !skipped && !numbers && rest != "":
			return nil, fmt.Errorf("%s:%d: %q: known are skip=REASON and, after console, numbers=any", name, b.Line, rest)
		}
		if !skipped {
			reason = ""
		}
		for i := range steps {
			steps[i].Skip, steps[i].Numbers = reason, numbers
		}
		p.Steps = append(p.Steps, steps...)
	}
	return p, nil
}

var hereDocument = regexp.MustCompile(`<<-?\s*['"]?(\w+)['"]?`)

// whole returns the command that starts at a line, and the number of its lines: a
// backslash at the end continues it, and so does a here-document.
func whole(lines []string, prompt string) (command string, n int) {
	end := ""
	var parts []string
	for n < len(lines) {
		line := lines[n]
		if n == 0 {
			line = strings.TrimPrefix(line, prompt)
		} else if prompt != "" {
			line = strings.TrimPrefix(line, "> ")
		}
		parts = append(parts, line)
		n++
		if end == "" {
			if m := hereDocument.FindStringSubmatch(line); m != nil {
				end = m[1]
				continue
			}
		}
		if end != "" && strings.TrimSpace(line) != end || end == "" && strings.HasSuffix(line, `\`) {
			continue
		}
		break
	}
	return strings.Join(parts, "\n"), n
}

// commands are the lines of an sh block.
func commands(b Block) (steps []Step) {
	for i := 0; i < len(b.Lines); {
		if line := strings.TrimSpace(b.Lines[i]); line == "" || strings.HasPrefix(line, "#") {
			i++
			continue
		}
		command, n := whole(b.Lines[i:], "")
		steps = append(steps, Step{Line: b.Line + 1 + i, Command: command})
		i += n
	}
	return steps
}

const prompt = "$ "

// dialogue is a console block: commands, each followed by what it prints.
func dialogue(b Block) (steps []Step) {
	for i := 0; i < len(b.Lines); {
		if !strings.HasPrefix(b.Lines[i], prompt) {
			if len(steps) > 0 {
				s := &steps[len(steps)-1]
				s.Shown = append(s.Shown, b.Lines[i])
			}
			i++
			continue
		}
		command, n := whole(b.Lines[i:], prompt)
		steps = append(steps, Step{Line: b.Line + 1 + i, Command: command, Compare: true})
		i += n
	}
	for i := range steps {
		for s := steps[i].Shown; len(s) > 0 && s[len(s)-1] == ""; s = s[:len(s)-1] {
			steps[i].Shown = s[:len(s)-1]
		}
	}
	return steps
}

var fileName = regexp.MustCompile(`^# ((?:/etc/|)[\w./-]+\.(?:ini|csv|yml|yaml))$`)

// writes is a block that is a file: its first line is a comment with the path.
func writes(b Block) []Step {
	if len(b.Lines) == 0 {
		return nil
	}
	m := fileName.FindStringSubmatch(b.Lines[0])
	if m == nil {
		return nil
	}
	return []Step{{Line: b.Line, Path: m[1], Text: strings.Join(b.Lines, "\n") + "\n"}}
}

// Files lists the Markdown files below the module's root, by their paths from there.
func Files(root string) ([]string, error) {
	var list []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "build", "testdata"}, d.Name()):
			return filepath.SkipDir
		case !d.IsDir() && strings.HasSuffix(path, ".md"):
			name, err := filepath.Rel(root, path)
			list = append(list, name)
			return err
		}
		return nil
	})
	return list, err
}

// An Example is a command line of the sensor that a page names, wherever it stands.
type Example struct {
	Page string
	Line int
	Text string // from the sensor's name on, without what follows in a pipe
}

const sensor = "dnsmonster-sensor"

var (
	inline = regexp.MustCompile("`+([^`]*[^`\\s])\\s*`+")
	starts = regexp.MustCompile(`^(?:sudo )?(?:[A-Z_]+=\S* )*(?:\./|/usr/(?:local/)?bin/)?dnsmonster-sensor(\s.+)$`)
)

// Examples finds the sensor's command lines in a page: in its blocks and in backticks.
// Those that the page shows to fail are left out.
func Examples(name, text string) (list []Example) {
	add := func(line int, command string) {
		for _, part := range Parts(strings.ReplaceAll(command, "\\\n", " ")) {
			if m := starts.FindStringSubmatch(part); m != nil {
				list = append(list, Example{name, line, sensor + m[1]})
			}
		}
	}
	p, err := Parse(name, text)
	if err != nil {
		return nil // TestPages reports it
	}
	for _, s := range p.Steps {
		if _, fails := s.status(); !fails {
			add(s.Line, s.Command)
		}
	}
	_, prose := Blocks(text)
	for i, line := range prose {
		for _, m := range inline.FindAllStringSubmatch(strings.ReplaceAll(line, `\|`, "|"), -1) {
			add(i+1, m[1])
		}
	}
	return list
}

// Parts splits a line of the shell where a program's arguments end: at pipes, redirections,
// separators and comments that stand outside quotes.
func Parts(line string) (parts []string) {
	var quote rune
	begin, before := 0, ' '
	cut := func(end, next int) {
		if part := strings.TrimSpace(line[begin:end]); part != "" {
			parts = append(parts, part)
		}
		begin = next
	}
	for i, c := range line {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case before != ' ':
		case c == '#':
			cut(i, len(line))
			return parts
		case strings.ContainsRune("|;&<>\n", c):
			cut(i, i+1)
		case strings.HasPrefix(line[i:], "2>"):
			cut(i, i+2)
		}
		before = c
	}
	cut(len(line), len(line))
	return parts
}

// Read parses a file of the module.
func Read(root, name string) (*Page, error) {
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		return nil, err
	}
	return Parse(name, string(text))
}
