package config

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"dnsmonster-sensor/outputs/printable"
)

// The command line library's help has one line per option, however long, in
// alphabetical order and each with its variable's name. With some hundred options,
// nobody can read that.

const helpIndent = 28 // of the options' descriptions

// Help writes the help of one command: its most used options by task, or all of them if it
// has few. Lines fit a terminal; examples are not wrapped.
func (p *Page) Help(w io.Writer, program string) {
	b := bufio.NewWriter(w)
	defer b.Flush()
	if p.Tasks == "" {
		p.head(b, program)
		describe(b, p.Description)
		p.allOptions(b)
		return
	}
	p.head(b, program)
	_, examples := cutExamples(p.Description)
	writeExamples(b, examples)
	fmt.Fprintf(b, "\n%s\n", strings.Replace(strings.Trim(p.Tasks, "\n"), "{outputs}\n", p.outputLines(), 1))
	fmt.Fprintf(b, "\nMORE\n  %[1]s %[2]s --help all\n      every option\n  %[1]s %[2]s --help WORD\n      ", program, p.Name)
	wrap(b, "the options about a word, such as "+strings.Join(topics(p.visible()), ", "), 6, 6)
}

// HelpAll writes the help of one command with its description and all its options.
func (p *Page) HelpAll(w io.Writer, program string) {
	b := bufio.NewWriter(w)
	defer b.Flush()
	p.head(b, program)
	describe(b, p.Description)
	if len(p.visible()) > 20 {
		b.WriteString(optionsNote)
	}
	p.allOptions(b)
}

// outputLines has, for each output, the options that switch it on and say where its records
// go. Outputs without such a destination need no line: stdout, and null.
func (p *Page) outputLines() string {
	var b strings.Builder
	seen := ""
	for _, s := range sections(p.visible()) {
		for _, o := range p.visible() {
			if o.Section != s || !o.IsDestination() || s == seen {
				continue
			}
			seen = s
			head := fmt.Sprintf("      --%soutputtype 1 --%s %s", o.output(), o.Name, o.placeholder())
			_, what, _ := strings.Cut(find(p.Options, o.output()+"outputtype").Usage, " for ")
			what, _, _ = strings.Cut(what, ":")
			fmt.Fprintf(&b, "%-60s %s\n", head, what)
		}
	}
	return b.String()
}

const optionsNote = `
OPTIONS
  An option without a placeholder is switched on by its name, and off by
  --name=false. Case does not matter in names. An option in a section [...] can
  also be set in that section of a configuration file, or by the environment
  variable DNSMONSTER_<NAME>.
`

func (p *Page) head(b *bufio.Writer, program string) {
	fmt.Fprintf(b, "%s %s: ", program, p.Name)
	wrap(b, p.Usage, len(program)+len(p.Name)+3, 4)
	fmt.Fprintf(b, "\nUSAGE\n  %s\n", strings.TrimSpace(program+" "+p.Name+" [OPTIONS] "+p.Arguments))
}

// allOptions writes the options by section. A command with few options needs no sections.
func (p *Page) allOptions(b *bufio.Writer) {
	options := p.visible()
	if len(options) > 0 && len(options) <= 20 {
		b.WriteString("\nOPTIONS\n")
		for _, o := range options {
			helpOption(b, &o, "")
		}
		return
	}
	for _, s := range append(sections(options), "") {
		helpSection(b, s, options, nil)
	}
}

// ignored reports whether the option is accepted only for compatibility.
func (o *Option) ignored() bool { return strings.HasPrefix(o.Usage, compatible) }

// helpSection writes the options of one section; note, if there is one, says more about
// each. Those without effect are only named.
func helpSection(b *bufio.Writer, section string, options []Option, note func(*Option) string) {
	var ignored []string
	first := true
	for _, o := range options {
		if o.Section != section {
			continue
		}
		if first {
			first = false
			fmt.Fprintf(b, "\n%s\n", heading(section))
		}
		switch {
		case o.ignored():
			ignored = append(ignored, "--"+o.Name)
		case note != nil:
			helpOption(b, &o, note(&o))
		default:
			helpOption(b, &o, "")
		}
	}
	if ignored != nil {
		b.WriteString("  ")
		wrap(b, compatible+": "+strings.Join(ignored, ", "), 2, 4)
	}
}

func heading(section string) string {
	if section == "" {
		return withoutSection
	}
	return "[" + section + "]"
}

// helpOption writes one option. note is added to its description.
func helpOption(b *bufio.Writer, o *Option, note string) {
	head := "  "
	if o.Short != "" {
		head += "-" + o.Short + ", "
	}
	head += "--" + o.Name
	head += o.valueText()
	b.WriteString(head)
	at := len(head)
	if at+2 > helpIndent {
		b.WriteByte('\n')
		at = 0
	}
	b.WriteString(strings.Repeat(" ", helpIndent-at))
	text := o.Usage
	for _, a := range o.Aliases {
		text += " (also --" + a + ")"
	}
	if d := o.defaultText(); d != "" {
		text += " (default: " + d + ")"
	}
	wrap(b, text+note, helpIndent, helpIndent)
}

// defaultText returns the default, "" for an empty one, for a switch that is off, and for 0 if
// that means the same as leaving the option out.
func (o *Option) defaultText() string {
	d := strings.Join(o.Default, ", ")
	if d == "false" || d == "0" && !strings.Contains(o.Usage, "0") {
		return ""
	}
	return d
}

// explain writes all that there is to know about an option. commands are those that have
// it.
func (o *Option) explain(b *bufio.Writer, commands []string) {
	head := strings.Join(o.names(), ", ") + o.valueText()
	fmt.Fprintf(b, "%s\n  ", head)
	wrap(b, o.Usage, 2, 2)
	line := func(name, value string) {
		fmt.Fprintf(b, "  %-12s ", name)
		wrap(b, value, 15, 15)
	}
	off := "none"
	if o.isSwitch() {
		off = "off; --" + o.Name + " switches it on"
	}
	if o.Kind == Bool && o.defaultText() != "" {
		off = "on; --" + o.Name + "=false switches it off"
	} else {
		off = cmp.Or(o.defaultText(), off)
	}
	line("Default:", off)
	if o.Section != "" {
		line("In a file:", o.Name+" = ..., in section ["+o.Section+"]")
	}
	if len(o.Env) > 0 {
		line("Environment:", strings.Join(o.Env, ", "))
	}
	line("Commands:", strings.Join(commands, ", "))
}

// wrap writes text in lines that fit a terminal. The first line starts at column at, the others
// at column indent.
func wrap(b *bufio.Writer, text string, at, indent int) {
	fmt.Fprintln(b, printable.Wrap(text, at, indent))
}

// cutExamples separates a description's examples from its prose.
func cutExamples(text string) (prose, examples string) {
	prose, examples, _ = strings.Cut(text, "EXAMPLES:\n")
	return strings.TrimSpace(prose), strings.TrimRight(examples, "\n")
}

// describe writes a command's description: wrapped, and examples unchanged.
func describe(b *bufio.Writer, text string) {
	prose, examples := cutExamples(text)
	for part := range strings.SplitSeq(prose, "\n\n") {
		b.WriteByte('\n')
		wrap(b, part, 0, 0)
	}
	writeExamples(b, examples)
}

func writeExamples(b *bufio.Writer, examples string) {
	if examples == "" {
		return
	}
	b.WriteString("\nEXAMPLES\n")
	for line := range strings.Lines(examples) {
		fmt.Fprintf(b, "  %s\n", strings.TrimRight(strings.TrimPrefix(line, "   "), "\n"))
	}
}

// Overview writes the help of the program, which lists its commands.
func Overview(w io.Writer, program, usage, intro string, pages []Page) {
	b := bufio.NewWriter(w)
	defer b.Flush()
	fmt.Fprintf(b, "%s: ", program)
	wrap(b, usage, len(program)+2, 4)
	fmt.Fprintf(b, "\nUSAGE\n  %[1]s COMMAND [OPTIONS] [ARGUMENTS]\n  %[1]s [OPTIONS]    (the same as run)\n", program)
	_, examples := cutExamples(intro)
	writeExamples(b, examples)
	commandTable(b, pages, true)
	fmt.Fprintf(b, `
MORE
  %[1]s COMMAND --help    explains a command
  %[1]s --help WORD       options about a word, such as psql or mask
  %[1]s --help all        every option of every command
  %[1]s --version         names the build
`, program)
}

// GroupHelp writes the help of a command that has subcommands.
func GroupHelp(w io.Writer, program, name string, pages []Page) {
	b := bufio.NewWriter(w)
	defer b.Flush()
	fmt.Fprintf(b, "%s %s: ", program, name)
	wrap(b, pages[0].Group, len(program)+len(name)+3, 4)
	commandTable(b, pages, false)
	_, sub, _ := strings.Cut(pages[0].Name, " ")
	fmt.Fprintf(b, "\nMORE\n  %[1]s %[2]s %[3]s --help\n      explains one command and its options\n  %[1]s %[2]s --help all\n      explains all of them\n", program, name, sub)
}

// AllOptions writes every option of all commands once.
func AllOptions(w io.Writer, pages []Page) {
	b := bufio.NewWriter(w)
	defer b.Flush()
	b.WriteString(optionsNote)
	optionList(b, newOptionTable(pages, (*Option).visible), true)
}

// optionList writes the options of a table by section. With commands, it names the commands
// of each option that not all of run, attach, replay and dnstap have.
func optionList(b *bufio.Writer, t *optionTable, commands bool) {
	var list []Option
	for _, s := range t.sections {
		list = append(list, t.options[s]...)
	}
	for _, s := range append(sections(list), "") {
		helpSection(b, s, list, func(o *Option) string {
			list := t.commands[o.Name]
			if !commands || slices.Contains(list, "run") && slices.Contains(list, "attach") && slices.Contains(list, "replay") {
				return ""
			}
			return " (only: " + strings.Join(list, ", ") + ")"
		})
	}
}

// commandTable lists commands. Short, it has one line for the subcommands of each.
func commandTable(b *bufio.Writer, pages []Page, short bool) {
	var rows [][2]string
	for _, p := range pages {
		name, usage := p.Name, p.Usage
		if short && p.Group != "" {
			name, usage = firstWord(p.Name), p.Group
		}
		if len(rows) == 0 || rows[len(rows)-1][0] != name {
			rows = append(rows, [2]string{name, usage})
		}
	}
	b.WriteString("\nCOMMANDS\n")
	width := 0
	for _, r := range rows {
		width = max(width, len(r[0]))
	}
	for _, r := range rows {
		fmt.Fprintf(b, "  %-*s  ", width, r[0])
		wrap(b, r[1], width+4, width+4)
	}
}
