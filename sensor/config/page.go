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

// words are the command's options as they are typed.
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
