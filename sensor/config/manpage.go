package config

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strings"
)

// ManPage writes the manual page. intro is the program's description.
func ManPage(w io.Writer, program, usage, intro string, pages []Page) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, ".Dd November 24, 2026\n.Dt %s 8\n.Os\n.Sh NAME\n.Nm %s\n.Nd %s\n.Sh SYNOPSIS\n", strings.ToUpper(program), program, roff(usage))
	for _, p := range pages {
		fmt.Fprintf(b, ".Nm\n.Cm %s\n.Op Ar options\n", p.Name)
		for a := range strings.FieldsSeq(p.Arguments) {
			name := strings.Trim(a, "[].")
			switch {
			case a == "|":
				b.WriteString("|\n")
			case strings.ToLower(a) == a:
				fmt.Fprintf(b, ".Cm %s\n", a)
			case strings.HasPrefix(a, "["):
				fmt.Fprintf(b, ".Op Ar %s ...\n", name)
			case strings.HasSuffix(a, "..."):
				fmt.Fprintf(b, ".Ar %s ...\n", name)
			default:
				fmt.Fprintf(b, ".Ar %s\n", name)
			}
		}
	}
	b.WriteString(".Sh DESCRIPTION\n")
	paragraphs(b, intro)
	for _, p := range pages {
		fmt.Fprintf(b, ".Ss %s\n", p.Name)
		paragraphs(b, p.Description)
	}
	b.WriteString(".Ss Signals\n")
	prose(b, "SIGINT and SIGTERM end the capture, and captured records are delivered; a pipe is read to its end, a file is not. A second signal ends the program at once. "+
		"SIGHUP reads the configuration file again: "+strings.Join(Reloadable, ", ")+
		" and the types of outputs change, and the log names options that need a restart.")
	b.WriteString(".Sh OPTIONS\n")
	prose(b, "Case does not matter in names. Options may come before and after arguments. Most options can also be set in a configuration file, "+
		"in the section that is their heading here, and by an environment variable. The command line overrides the environment, which overrides the file.")
	manOptions(b, pages)
	b.WriteString(".Sh ENVIRONMENT\n")
	prose(b, "The variable of each option is listed with it. An empty variable is an empty text, or true for a switch; "+
		"for a number or a time it is ignored. Variables that Kubernetes sets for a service called dnsmonster are ignored. systemd sets CREDENTIALS_DIRECTORY: passwords and tokens that nothing else sets are read there, "+
		"from files with the names of their options.")
	b.WriteString(".Sh FILES\n")
	prose(b, "A configuration file has lines of the form key = value in sections such as [capture]. Case does not matter in names. "+
		"Lines that start with ; or # are comments; a comment cannot follow a value. A value in double quotes is unquoted as in Go. A switch with an empty value is on. "+
		"A list option has one line for each value. Unknown keys and sections are errors. The command config check explains a file; "+
		"the option --writeconfig writes one.")
	b.WriteString(".Sh EXIT STATUS\n.Bl -tag -width 2n -compact\n.It 0\nAll captured records were delivered.\n.It 1\nWrong usage or configuration; nothing was delivered.\n" +
		".It 2\nFailed while running.\n.It 3\nFinished, but some records were not delivered, or files not read to their end.\n.El\n")
	return b.Flush()
}

// manOptions writes each option once, with the commands that have it.
func manOptions(b *bufio.Writer, pages []Page) {
	table := newOptionTable(pages, (*Option).visible)
	for _, section := range table.sections {
		fmt.Fprintf(b, ".Ss %s\n.Bl -tag -width Ds\n", cmp.Or(section, withoutSection))
		for _, o := range table.options[section] {
			manOption(b, &o, table.commands[o.Name])
		}
		b.WriteString(".El\n")
	}
}

func manOption(b *bufio.Writer, o *Option, commands []string) {
	fmt.Fprintf(b, ".It Fl Fl %s", o.Name)
	switch o.Kind {
	case Bool:
	case SwitchOrTime:
		fmt.Fprintf(b, " Ns Op Ns = Ns Ar %s", roff(o.placeholder()))
	default:
		fmt.Fprintf(b, " Ns = Ns Ar %s", roff(o.placeholder()))
	}
	b.WriteByte('\n')
	prose(b, strings.TrimSuffix(strings.ToUpper(o.Usage[:1])+o.Usage[1:], ".")+".")
	if d := o.defaultText(); d != "" {
		prose(b, "Default: "+d+".")
	}
	if others := o.names()[1:]; len(others) > 0 {
		prose(b, "Also "+strings.Join(others, ", ")+".")
	}
	for _, e := range o.Env {
		fmt.Fprintf(b, "Environment:\n.Ev %s .\n", e)
	}
	prose(b, "Commands: "+strings.Join(commands, ", ")+".")
}

// paragraphs writes text with its examples as literal blocks.
func paragraphs(b *bufio.Writer, text string) {
	for i, part := range strings.Split(text, "\n\n") {
		head, examples, ok := strings.Cut(part, "EXAMPLES:\n")
		if i > 0 && !ok {
			b.WriteString(".Pp\n")
		}
		if strings.TrimSpace(head) != "" {
			prose(b, head)
		}
		if ok {
			b.WriteString(".Pp\nExamples:\n.Bd -literal -offset indent\n")
			for line := range strings.Lines(examples) {
				fmt.Fprintln(b, roff(strings.TrimSpace(line)))
			}
			b.WriteString(".Ed\n")
		}
	}
}

// prose writes text with a line break after each sentence, and no long lines.
func prose(b *bufio.Writer, text string) {
	length := 0
	end := func() {
		if length > 0 {
			b.WriteByte('\n')
			length = 0
		}
	}
	for word := range strings.FieldsSeq(text) {
		w := roff(word)
		if length > 0 && length+1+len(w) > 78 {
			end()
		}
		if length > 0 {
			b.WriteByte(' ')
			length++
		}
		b.WriteString(w)
		length += len(w)
		if strings.HasSuffix(word, ".") {
			end()
		}
	}
	end()
}

// roff escapes characters that are special to the formatter.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}
