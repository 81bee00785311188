package config

import (
	"slices"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"
)

// Line is a parsed command line.
type Line struct {
	Command   []string // the command's name, and its subcommand's; nil for none
	Given     []Given
	Arguments []string
}

// Given is one option on the command line.
type Given struct {
	Name     string // without dashes; in lower case unless it is one letter
	Value    string
	HasValue bool // false: --name alone
	Short    bool // a letter after a single dash, perhaps among others: -v, -vv, -c5
	single   bool // a long name after a single dash
}

// typed is the option's name with its dashes.
func (g *Given) typed() string {
	if len(g.Name) == 1 || g.single {
		return "-" + nameOrMask(g.Name)
	}
	return "--" + nameOrMask(g.Name)
}

// ParseLine parses a command line, without the program's name. Unlike the command line
// library, it folds names to lower case, and accepts options before the command and
// after arguments. It does not change values. After "--" everything is an argument.
// It keeps unknown options, for which Resolve returns an error. If the command has options
// of one letter, these may be glued together and to a value, as tcpdump takes them.
func ParseLine(args []string, commands []*cli.Command) Line {
	var l Line
	takes := sync.OnceValue(func() map[string]bool { return takesValue(commands) })
	within := commands
	short := sync.OnceValue(func() *shortOptions { return shortOptionsOf(args, commands, takes()) })
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			l.Arguments = append(l.Arguments, args[i+1:]...)
			break
		}
		if !strings.HasPrefix(a, "-") || a == "-" {
			if c := command(within, a); c != nil && len(l.Arguments) == 0 {
				l.Command, within = append(l.Command, c.Name), c.Subcommands
				continue
			}
			l.Arguments = append(l.Arguments, a)
			continue
		}
		if list, used := short().parse(a, args[i+1:]); list != nil {
			l.Given = append(l.Given, list...)
			i += used
			continue
		}
		name, value, has := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(a, "-"), "-"), "=")
		if len(name) > 1 || short() == nil { // the case of a letter matters
			name = strings.ToLower(name)
		}
		if !has && i+1 < len(args) && takes()[name] {
			i++
			value, has = args[i], true
		}
		l.Given = append(l.Given, Given{Name: name, Value: value, HasValue: has, single: !strings.HasPrefix(a, "--")})
	}
	return l
}

func command(list []*cli.Command, name string) *cli.Command {
	for _, c := range list {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

// takesValue tells for every option of every command whether it takes a value. The
// options of all commands count, because the command may come after the option.
func takesValue(commands []*cli.Command) map[string]bool {
	takes := make(map[string]bool)
	for _, c := range commands {
		for _, f := range c.Flags {
			d, ok := f.(cli.DocGenerationFlag)
			for _, n := range f.Names() {
				takes[n] = ok && d.TakesValue()
			}
		}
		for n, t := range takesValue(c.Subcommands) {
			takes[n] = t
		}
	}
	return takes
}

// Has reports whether an option is on the line.
func (l *Line) Has(name string) bool {
	return slices.ContainsFunc(l.Given, func(g Given) bool { return g.Name == name })
}
