package config

import (
	"bufio"
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
	prose(b, "SIGINT and SIGTERM end the capture, and what was captured is delivered; a pipe is read to its end, a file is not. A second one ends at once. "+
		"SIGHUP reads the configuration file again: "+strings.Join(Reloadable, ", ")+
		" and the types of outputs change, and the log names what needs a new start.")
	b.WriteString(".Sh OPTIONS\n")
	prose(b, "Names may be written in upper and lower case, before and behind arguments. Most options can stand in a configuration file too, "+
		"in the section that is their heading here, and in an environment variable. The command line beats the environment, which beats the file.")
	manOptions(b, pages)
	b.WriteString(".Sh ENVIRONMENT\n")
	prose(b, "Each option's variable is named with it. A variable that is set to nothing is a text without letters or a truth value that is true; "+
		"numbers and times are then left alone. Variables that Kubernetes sets for a service called dnsmonster are ignored. CREDENTIALS_DIRECTORY, which systemd sets, is where passwords and tokens are looked for that nothing else sets, "+
		"in files of their options' names.")
	b.WriteString(".Sh FILES\n")
	prose(b, "A configuration file has lines of the form key = value in sections such as [capture]. Upper and lower case are the same in names. "+
		"Lines that start with ; or # are comments, which cannot stand behind a value. A value in double quotes is unquoted as in Go. A truth value that is left empty is true. "+
		"A key that is repeated is a list, where the option is one. Unknown keys and sections are errors. The command config check explains a file; "+
		"the option --writeconfig writes one.")
	b.WriteString(".Sh EXIT STATUS\n.Bl -tag -width 2n -compact\n.It 0\nAll that was captured was delivered.\n.It 1\nWrong use or configuration; nothing was captured.\n" +
		".It 2\nFailed while running.\n.It 3\nFinished, but some records were not delivered.\n.El\n")
	return b.Flush()
}

// manOptions writes each option once, with the commands that have it.
func manOptions(b *bufio.Writer, pages []Page) {
	var names []string
	of := make(map[string][]string) // by section
	seen := make(map[string]*Option)
	has := make(map[string][]string)
	for _, p := range pages {
		for _, o := range p.visible() {
			if seen[o.Name] == nil {
				seen[o.Name] = &o
				if of[o.Section] == nil {
					names = append(names, o.Section)
				}
				of[o.Section] = append(of[o.Section], o.Name)
			}
			has[o.Name] = append(has[o.Name], p.Name)
		}
	}
	for _, section := range names {
		title := section
		if title == "" {
			title = "On the command line only"
		}
		fmt.Fprintf(b, ".Ss %s\n.Bl -tag -width Ds\n", title)
		for _, name := range of[section] {
			manOption(b, seen[name], has[name])
		}
		b.WriteString(".El\n")
	}
}

func manOption(b *bufio.Writer, o *Option, commands []string) {
	fmt.Fprintf(b, ".It Fl Fl %s", o.Name)
	if o.Kind != Bool {
		fmt.Fprintf(b, " Ns = Ns Ar %s", roff(o.placeholder()))
	}
	b.WriteByte('\n')
	prose(b, strings.TrimSuffix(strings.ToUpper(o.Usage[:1])+o.Usage[1:], ".")+".")
	if d := strings.Join(o.Default, ", "); d != "" && d != "false" {
		prose(b, "Default: "+d+".")
	}
	for _, e := range o.Env {
		fmt.Fprintf(b, "Environment:\n.Ev %s .\n", e)
	}
	prose(b, "Commands: "+strings.Join(commands, ", ")+".")
}

// placeholder is the value's placeholder, or one for the kind.
func (o *Option) placeholder() string {
	if o.Placeholder != "" {
		return o.Placeholder
	}
	return [...]string{"TEXT", "TRUE", "NUMBER", "NUMBER", "NUMBER", "TIME"}[o.Kind]
}

// paragraphs writes text in which examples are indented, and their heading is in
// capitals.
func paragraphs(b *bufio.Writer, text string) {
	for part := range strings.SplitSeq(text, "\n\n") {
		head, examples, ok := strings.Cut(part, "EXAMPLES:\n")
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

// prose writes each sentence on lines of its own, none too long.
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

// roff escapes what the formatter would read as its own.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}
