package config

import (
	"slices"
	"strings"
)

// Page describes one command for help, manual page and completions.
type Page struct {
	Name        string // "attach"; "config check"
	Usage       string
	Group       string // of a subcommand: the usage of the command above
	Arguments   string // placeholder, such as "FILE..."
	Description string
	Tasks       string // the most used options by task, as they are printed; "": help lists all options
	Options     []Option
}

// visible are the options that people are shown: all but deprecated ones and those of
// features that this build lacks.
func (p *Page) visible() []Option {
	return slices.DeleteFunc(slices.Clone(p.Options), func(o Option) bool { return !o.visible() })
}

func (o *Option) visible() bool { return !o.Hidden && !o.isPending() }

// names returns the option's names as they are typed, the usual one first.
func (o *Option) names() []string {
	list := []string{"--" + o.Name}
	for _, a := range o.Aliases {
		list = append(list, "--"+a)
	}
	if o.Short != "" {
		list = append(list, "-"+o.Short)
	}
	return list
}

// optionWords returns the command's options as they are typed.
func (p *Page) optionWords() string {
	var list []string
	for _, o := range p.visible() {
		list = append(list, o.names()...)
	}
	slices.Sort(list)
	return strings.Join(append(list, "--help"), " ")
}

// optionTable lists options of all pages, each once, by section.
type optionTable struct {
	sections []string // in the order in which they appear
	options  map[string][]Option
	commands map[string][]string // by option: the commands that have it
}

// newOptionTable has the options that which chooses.
func newOptionTable(pages []Page, which func(*Option) bool) *optionTable {
	t := &optionTable{options: make(map[string][]Option), commands: make(map[string][]string)}
	for _, p := range pages {
		for _, o := range p.Options {
			if !which(&o) {
				continue
			}
			if t.commands[o.Name] == nil {
				if t.options[o.Section] == nil {
					t.sections = append(t.sections, o.Section)
				}
				t.options[o.Section] = append(t.options[o.Section], o)
			}
			t.commands[o.Name] = append(t.commands[o.Name], p.Name)
		}
	}
	return t
}

// withoutSection is the heading of options that cannot be in a file.
const withoutSection = "On the command line only"

// commandNames returns the first words of all commands.
func commandNames(pages []Page) []string {
	var names []string
	for _, p := range pages {
		if n := firstWord(p.Name); !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

// subcommands returns the second words of a command's subcommands, nil if it has none.
func subcommands(pages []Page, name string) []string {
	var list []string
	for _, p := range pages {
		if first, second, ok := strings.Cut(p.Name, " "); ok && first == name {
			list = append(list, second)
		}
	}
	return list
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

func without(names []string, name string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name }), " ")
}
