package config

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// shortOptions are the options of one letter that a command line may have after a single
// dash: those of its command, and those of tcpdump, which people type from habit. A command
// without such options has none of tcpdump's either.
type shortOptions struct {
	takes map[string]bool // of the command: whether a letter takes a value
	long  map[string]bool // has the names of all commands' options
}

// shortOptionsOf finds the command before the line is read, since it may come after its
// options. It returns nil if the command has no option of one letter.
func shortOptionsOf(args []string, commands []*cli.Command, long map[string]bool) *shortOptions {
	for _, a := range args {
		c := command(commands, a)
		if c == nil {
			continue
		}
		s := &shortOptions{takes: make(map[string]bool), long: long}
		for _, f := range c.Flags {
			d, ok := f.(cli.DocGenerationFlag)
			for _, n := range f.Names() {
				if len(n) == 1 {
					s.takes[n] = ok && d.TakesValue()
				}
			}
		}
		if len(s.takes) > 0 {
			return s
		}
		return nil
	}
	return nil
}

// The letters of tcpdump's options: those that stand alone, those whose value is a number,
// and those with another value.
const (
	tcpdumpSwitches = "AbdDefHhIJKlLnNOpqStuUvxX#"
	tcpdumpNumbers  = "BcCGsW"
	tcpdumpValues   = "EFijmMQrTVwyzZ"
)

// takesValue tells whether a letter takes a value, or that it is no option.
func (s *shortOptions) takesValue(letter string) (takes, known bool) {
	if takes, ours := s.takes[letter]; ours {
		return takes, true
	}
	return strings.Contains(tcpdumpNumbers+tcpdumpValues, letter), strings.Contains(tcpdumpSwitches+tcpdumpNumbers+tcpdumpValues, letter)
}

// parse reads an argument such as -nn, -c10 or -vvieth0. rest are the arguments after it, and
// used is how many of them are its value. It returns nil if the argument is not of that
// kind.
func (s *shortOptions) parse(arg string, rest []string) (list []Given, used int) {
	name, _, _ := strings.Cut(strings.ToLower(arg[1:]), "=")
	if s == nil || strings.HasPrefix(arg, "--") || len(name) > 1 && s.isLong(name) {
		return nil, 0
	}
	for letters := arg[1:]; letters != ""; {
		g := Given{Name: letters[:1], Short: true}
		letters = letters[1:]
		takes, known := s.takesValue(g.Name)
		value, equals := strings.CutPrefix(letters, "=")
		switch {
		case !known, letters != "" && takes && strings.Contains(tcpdumpNumbers, g.Name) && !startsNumber(value):
			return nil, 0
		case !takes && !equals:
		case takes && letters == "" && len(rest) > 0:
			g.Value, g.HasValue, used = rest[0], true, 1
		case letters != "":
			g.Value, g.HasValue, letters = value, true, ""
		}
		list = append(list, g)
	}
	return list, used
}

// isLong reports whether a name after a single dash is a long option, or is more probably
// meant as one than as letters.
func (s *shortOptions) isLong(name string) bool {
	_, known := s.long[name]
	return known || slices.Contains([]string{"help", "version"}, name) || synonyms[name] != nil
}

func startsNumber(text string) bool {
	return text != "" && strings.ContainsRune("0123456789-+", rune(text[0]))
}
