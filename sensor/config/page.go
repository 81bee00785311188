package config

import (
	"slices"
	"strings"
)

// Page is what help, man page and completions say of one command.
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
func (p *Page) words() string {
	var list []string
	for _, o := range p.visible() {
		for _, n := range append([]string{o.Name}, o.Aliases...) {
			list = append(list, "--"+n)
		}
	}
	slices.Sort(list)
	return strings.Join(append(list, "--help"), " ")
}

// commandNames are the words that may stand first.
func commandNames(pages []Page) []string {
	var names []string
	for _, p := range pages {
		if n := firstWord(p.Name); !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

// subcommands are what may stand behind a command's name, nil where it is a
// whole command.
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
