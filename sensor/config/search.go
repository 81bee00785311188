package config

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// HelpWords returns the words that a command line asks help about: what follows --help or
// -h, without the command's name and without dashes.
func HelpWords(args, command []string) (words []string) {
	asked := false
	for _, a := range args {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimLeft(a, "-")), "=")
		switch {
		case strings.HasPrefix(a, "-") && (name == "help" || name == "h"):
			if asked = true; value != "" {
				words = append(words, value)
			}
		case len(command) > 0 && a == command[0]:
			command = command[1:]
		case asked && name != "":
			words = append(words, name)
		}
	}
	return words
}

// IsHelp reports whether the line asks for help.
func (l *Line) IsHelp() bool { return l.Has("help") || l.Has("h") }

// Search finds options by words.
type Search struct {
	Program string
	Command string // "": all
	Pages   []Page // of all commands
	Pending []Feature
}

// Write explains the option that a word names, and lists those that have a word in their
// name, section or description. The error names similar words.
func (s *Search) Write(w io.Writer, words []string) error {
	var text bytes.Buffer
	b := bufio.NewWriter(&text)
	table := newOptionTable(s.pages(), (*Option).visible)
	named := func(o *Option) bool { return o.visible() && o.isNamed(words) }
	exact, everywhere := newOptionTable(s.pages(), named), newOptionTable(s.Pages, named)
	about := newOptionTable(s.pages(), func(o *Option) bool { return o.visible() && o.isAbout(words) })
	found := s.lacking(b, words)
	if slices.Contains(words, "version") {
		b.WriteString("--version\n  print the version of this build, of Go and of the kernel program, and exit\n")
		found = true
	}
	var more []string
	for _, section := range table.sections {
		for _, o := range exact.options[section] {
			if found {
				b.WriteByte('\n')
			}
			o.explain(b, everywhere.commands[o.Name])
			found = true
		}
		for _, o := range about.options[section] {
			if exact.commands[o.Name] == nil {
				more = append(more, "--"+o.Name)
			}
		}
	}
	switch {
	case len(exact.commands) > 0 && len(more) > 0:
		b.WriteString("\n")
		wrap(b, "Other options about "+strings.Join(words, " or ")+": "+strings.Join(more, ", "), 0, 2)
	case len(more) > 0:
		optionList(b, about, s.Command == "")
		found = true
	}
	if !found {
		return s.unknown(words)
	}
	b.Flush()
	_, err := w.Write(bytes.TrimLeft(text.Bytes(), "\n"))
	return err
}

// pages are those of the command, or all.
func (s *Search) pages() []Page {
	return slices.DeleteFunc(slices.Clone(s.Pages), func(p Page) bool {
		return s.Command != "" && p.Name != s.Command && !strings.HasPrefix(p.Name, s.Command+" ")
	})
}

// lacking writes a line about each feature that a word names and that this build lacks.
func (s *Search) lacking(b *bufio.Writer, words []string) (found bool) {
	for _, f := range s.Pending {
		options, err := FromFlags(WithSecretFiles(flagsOf(f.rows)))
		if err != nil {
			panic(err) // a declaration of ours is wrong
		}
		named := slices.ContainsFunc(words, func(word string) bool {
			return slices.Contains(strings.Fields(f.Name), word) && word != "output" && word != "input" && word != "capture"
		})
		if !named && !slices.ContainsFunc(options, func(o Option) bool { return o.isNamed(words) }) {
			continue
		}
		found = true
		wrap(b, f.Name+": not in this build; its options are accepted for compatibility", 0, 0)
	}
	return found
}

// isNamed reports whether a word is a name of the option.
func (o *Option) isNamed(words []string) bool {
	return slices.ContainsFunc(words, func(word string) bool {
		return o.has(word) || slices.Contains(o.Env, strings.ToUpper(word))
	})
}

// sameWords are words that mean the same; options are described by one of them.
var sameWords = [][]string{
	{"psql", "postgres", "postgresql"},
	{"clickhouse", "ch"},
	{"mask", "anonymise", "anonymize", "privacy"},
	{"tls", "ssl", "sslmode", "certificate", "certificates"},
	{"interface", "device", "nic"},
	{"list", "lists", "domain", "domains"},
	{"profile", "pprof"},
	{"fragment", "fragments", "reassembly"},
	{"cpu", "processor", "processors"},
}

// isAbout reports whether the option's name, section or description has one of the words. In
// a description, the start of a word counts.
func (o *Option) isAbout(words []string) bool {
	for _, word := range words {
		same := []string{word}
		for _, list := range sameWords {
			if slices.Contains(list, word) {
				same = list
			}
		}
		for _, word := range same {
			if strings.Contains(o.Section, word) || o.has(word) || len(word) > 1 && slices.ContainsFunc(o.names(), func(n string) bool { return strings.Contains(n, word) }) {
				return true
			}
			for w := range strings.FieldsFuncSeq(strings.ToLower(o.Usage), func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) }) {
				if len(word) > 1 && strings.HasPrefix(w, word) {
					return true
				}
			}
		}
	}
	return false
}

// unknown is the error for words that no option is about.
func (s *Search) unknown(words []string) error {
	asked, where := strings.Join(words, " or "), ""
	if s.Command != "" {
		where = s.Command + ": "
	}
	if slices.ContainsFunc(s.Pages, func(p Page) bool { return firstWord(p.Name) == words[0] }) {
		return fmt.Errorf("%s%s is a command: %s %s --help explains it", where, words[0], s.Program, words[0])
	}
	if !slices.ContainsFunc(words, func(w string) bool { return nameOrMask(w) == masked }) && s.Command != "" {
		others := newOptionTable(s.Pages, func(o *Option) bool { return o.visible() && (o.isNamed(words) || o.isAbout(words)) })
		var commands []string
		for _, c := range others.commands {
			commands = append(commands, c...)
		}
		slices.Sort(commands)
		if commands = slices.Compact(commands); commands != nil {
			return fmt.Errorf("%s has no option about %s, but other commands have: %s (see %s --help %s)", s.Command, asked, strings.Join(commands, ", "), s.Program, words[0])
		}
	}
	table := newOptionTable(s.pages(), (*Option).visible)
	var options []Option
	names := []string{}
	for _, section := range table.sections {
		options = append(options, table.options[section]...)
	}
	good := topics(options)
	for _, o := range options {
		names = append(names, o.Name)
	}
	for _, f := range s.Pending {
		names = append(names, firstWord(f.Name))
	}
	for _, p := range s.Pages {
		names = append(names, firstWord(p.Name))
	}
	if meant := synonyms[words[0]]; meant != nil {
		return fmt.Errorf("%sno option about %q: did you mean %s?", where, words[0], strings.Join(meant, " or "))
	}
	if nearest := nearestName(words[0], append(slices.Clone(good), names...)); nearest != "" {
		return fmt.Errorf("%sno option about %q: did you mean %s?", where, nameOrMask(words[0]), nearest)
	}
	list := "there are no options"
	if good != nil {
		list = "try: " + strings.Join(good, ", ")
	} else if len(options) > 0 {
		list = "its options are --" + strings.Join(names[:len(options)], ", --")
	}
	return fmt.Errorf("%sno option about %q; %s", where, nameOrMask(words[0]), list)
}

// topics are words that some of the options are about: outputs first.
func topics(options []Option) (words []string) {
	for _, s := range sections(options) {
		if output, ok := strings.CutSuffix(s, "_output"); ok && output != "null" { // null is for measurements
			words = append(words, output)
		}
	}
	for _, word := range []string{"port", "tunnel", "tcp", "fragments", "sample", "mask", "json", "csv", "spool", "domains", "metrics", "log", "tls", "memory"} {
		if slices.ContainsFunc(options, func(o Option) bool { return o.isAbout([]string{word}) }) {
			words = append(words, word)
		}
	}
	return words
}
