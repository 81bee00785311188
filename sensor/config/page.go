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
	Options     []Option
}

func (p *Page) visible() []Option {
	return slices.DeleteFunc(slices.Clone(p.Options), func(o Option) bool { return o.Hidden })
}

// optionWords returns the command's options as they are typed.
func (p *Page) optionWords() string {
	var list []string
	for _, o := range p.visible() {
		for _, n := range append([]string{o.Name}, o.Aliases...) {
			list = append(list, "--"+n)
		}
	}
	slices.Sort(list)
	return strings.Join(append(list, "--help"), " ")
}

// optionTable lists the visible options of all pages, each once, by section.
type optionTable struct {
	sections []string // in the order in which they appear
	options  map[string][]Option
	commands map[string][]string // by option: the commands that have it
}

func newOptionTable(pages []Page) *optionTable {
	t := &optionTable{options: make(map[string][]Option), commands: make(map[string][]string)}
	for _, p := range pages {
		for _, o := range p.visible() {
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
