package config

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The command line library's help has one line per option, however long, in
// alphabetical order and each with its variable's name. With some hundred options,
// nobody can read that.

const (
	helpWidth  = 80
	helpIndent = 28 // of the options' descriptions
)

// Help writes the help of one command: its options by section, wrapped to the width of
// a terminal. With words, it writes only the options that have one of them in their
// names, sections or descriptions, and reports whether there are any.
func (p *Page) Help(w io.Writer, program string, words []string) (found bool) {
	b := bufio.NewWriter(w)
	defer b.Flush()
	options := p.visible()
	if len(words) > 0 {
		options = slices.DeleteFunc(options, func(o Option) bool { return !o.matches(words) })
		for _, s := range append([]string{""}, sections(options)...) {
			helpSection(b, s, options, false)
		}
		return len(options) > 0
	}
	fmt.Fprintf(b, "%s %s: ", program, p.Name)
	wrap(b, p.Usage, len(program)+len(p.Name)+3, 4)
	fmt.Fprintf(b, "\nUSAGE\n  %s\n", strings.TrimSpace(program+" "+p.Name+" [OPTIONS] "+p.Arguments))
	describe(b, p.Description)
	if len(options) > 20 {
		b.WriteString(`
OPTIONS
  --help WORD... shows only the options about a word, such as psql or mask. Case
  does not matter in names. An option without a placeholder is switched on by
  its name, and off by --name=false. Each option can also be set in its section
  [...] of a configuration file, or by the environment variable
  DNSMONSTER_<NAME>.
`)
	} else if len(options) > 0 {
		b.WriteString("\nOPTIONS\n")
	}
	helpSection(b, "", options, true)
	for _, s := range sections(options) {
		helpSection(b, s, options, true)
	}
	return true
}

// matches reports whether the option is about one of the words.
func (o *Option) matches(words []string) bool {
	return slices.ContainsFunc(words, func(word string) bool {
		word = strings.ToLower(strings.TrimLeft(word, "-"))
		return strings.Contains(o.Section, word) || strings.Contains(strings.ToLower(o.Usage), word) ||
			slices.ContainsFunc(append([]string{o.Name}, o.Aliases...), func(n string) bool { return strings.Contains(n, word) })
	})
}

// ignored reports whether the option is accepted only for compatibility.
func (o *Option) ignored() bool { return strings.HasPrefix(o.Usage, compatible) }

// helpSection writes the options of one section. In short form, it lists those without
// effect by their names only.
func helpSection(b *bufio.Writer, section string, options []Option, short bool) {
	var ignored []string
	first := true
	for _, o := range options {
		if o.Section != section {
			continue
		}
		if first {
			first = false
			b.WriteByte('\n')
			if section != "" {
				fmt.Fprintf(b, "[%s]\n", section)
			}
		}
		if short && o.ignored() {
			ignored = append(ignored, "--"+o.Name)
			continue
		}
		helpOption(b, &o)
	}
	if ignored != nil {
		b.WriteString("  ")
		wrap(b, compatible+": "+strings.Join(ignored, ", "), 2, 4)
	}
}

func helpOption(b *bufio.Writer, o *Option) {
	head := "  --" + o.Name
	if o.Kind != Bool {
		head += " " + o.placeholder()
	}
	b.WriteString(head)
	at := len(head)
	if at+2 > helpIndent {
		b.WriteByte('\n')
		at = 0
	}
	b.WriteString(strings.Repeat(" ", helpIndent-at))
	text := o.Usage
	for _, a := range o.Aliases {
		text += "; also --" + a
	}
	if d := strings.Join(o.Default, ", "); d != "" && d != "false" {
		text += " (default: " + d + ")"
	}
	wrap(b, text, helpIndent, helpIndent)
}

// wrap writes text in lines of helpWidth. The first line starts at column at, the others
// at column indent.
func wrap(b *bufio.Writer, text string, at, indent int) {
	start := true
	for word := range strings.FieldsSeq(text) {
		switch {
		case start:
		case at+1+len(word) > helpWidth:
			fmt.Fprintf(b, "\n%*s", indent, "")
			at = indent
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += len(word)
		start = false
	}
	b.WriteByte('\n')
}

// describe writes a command's description: wrapped, and examples unchanged.
func describe(b *bufio.Writer, text string) {
	prose, examples, _ := strings.Cut(text, "EXAMPLES:\n")
	for part := range strings.SplitSeq(strings.TrimSpace(prose), "\n\n") {
		b.WriteByte('\n')
		wrap(b, part, 0, 0)
	}
	if examples != "" {
		fmt.Fprintf(b, "\nEXAMPLES\n%s\n", strings.TrimRight(examples, "\n"))
	}
}

// Overview writes the help of the program, which lists its commands.
func Overview(w io.Writer, program, usage, intro string, pages []Page) {
	b := bufio.NewWriter(w)
	defer b.Flush()
	fmt.Fprintf(b, "%s: ", program)
	wrap(b, usage, len(program)+2, 4)
	fmt.Fprintf(b, "\nUSAGE\n  %[1]s COMMAND [OPTIONS] [ARGUMENTS]\n  %[1]s [OPTIONS of run]\n", program)
	describe(b, intro)
	commandTable(b, pages)
	fmt.Fprintf(b, `
  %[1]s COMMAND --help explains a command and its options,
  %[1]s --version names the build.
`, program)
}

// GroupHelp writes the help of a command that has subcommands.
func GroupHelp(w io.Writer, program, name string, pages []Page) {
	b := bufio.NewWriter(w)
	defer b.Flush()
	fmt.Fprintf(b, "%s %s: ", program, name)
	wrap(b, pages[0].Group, len(program)+len(name)+3, 4)
	commandTable(b, pages)
	fmt.Fprintf(b, "\n  %s %s COMMAND --help explains a command and its options.\n", program, name)
}

func commandTable(b *bufio.Writer, pages []Page) {
	b.WriteString("\nCOMMANDS\n")
	width := 0
	for _, p := range pages {
		width = max(width, len(p.Name))
	}
	for _, p := range pages {
		fmt.Fprintf(b, "  %-*s  ", width, p.Name)
		wrap(b, p.Usage, width+4, width+4)
	}
}
