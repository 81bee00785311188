package config

import (
	"fmt"
	"io"
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

// word is one that a command line starts with.
type word struct {
	name, usage string
	subs        []Page // behind it; nil: none
	options     []Option
}

// words are the pages' first words, each with the options of all commands that
// start so.
func words(pages []Page) []word {
	var list []word
	for _, p := range pages {
		first, sub, _ := strings.Cut(p.Name, " ")
		i := slices.IndexFunc(list, func(w word) bool { return w.name == first })
		if i < 0 {
			i = len(list)
			list = append(list, word{name: first, usage: p.Usage})
		}
		w := &list[i]
		if sub != "" {
			w.usage = p.Group
			w.subs = append(w.subs, p)
		}
		for _, o := range p.visible() {
			if !slices.ContainsFunc(w.options, func(other Option) bool { return other.Name == o.Name }) {
				w.options = append(w.options, o)
			}
		}
	}
	return list
}

// typed are the options as they are typed.
func (w *word) typed() string {
	var list []string
	for _, o := range w.options {
		for _, n := range append([]string{o.Name}, o.Aliases...) {
			list = append(list, "--"+n)
		}
	}
	slices.Sort(list)
	return strings.Join(append(list, "--help"), " ")
}

// subNames are the words that can stand behind w.
func (w *word) subNames() string {
	var list []string
	for _, p := range w.subs {
		list = append(list, strings.TrimPrefix(p.Name, w.name+" "))
	}
	return strings.Join(list, " ")
}

// pattern is what a shell's case compares with.
func (w *word) pattern() string {
	if w.name == "run" {
		return "run|''"
	}
	return w.name
}

func names(list []word) (names []string) {
	for _, w := range list {
		names = append(names, w.name)
	}
	return names
}

// Bash writes a completion script for bash.
func Bash(w io.Writer, program string, pages []Page) {
	list := words(pages)
	fmt.Fprintf(w, `# Completion of %[1]s for bash: put it into
# /usr/share/bash-completion/completions/%[1]s
_dnsmonster_sensor() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= options= subs= word
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $word in
            %[2]s) command=$word; break ;;
        esac
    done
    COMPREPLY=()
    case $command in
`, program, strings.Join(names(list), "|"))
	for _, c := range list {
		fmt.Fprintf(w, "        %s) options='%s' subs='%s' ;;\n", c.pattern(), c.typed(), c.subNames())
	}
	fmt.Fprintf(w, `    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
    elif [[ -z $command && $prev != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '%[2]s' -- "$cur")
    elif [[ $command == attach && $prev != -* || $prev == --devname ]]; then
        mapfile -t COMPREPLY < <(cd /sys/class/net && compgen -W "$(echo *)" -- "$cur")
    elif [[ -n $subs && $prev == "$command" ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$subs" -- "$cur")
    fi
}
complete -o default -F _dnsmonster_sensor %[1]s
`, program, strings.Join(names(list), " "))
}

// Fish writes a completion script for fish.
func Fish(w io.Writer, program string, pages []Page) {
	fmt.Fprintf(w, "# Completion of %[1]s for fish: put it into\n# /usr/share/fish/vendor_completions.d/%[1]s.fish\n", program)
	list := words(pages)
	all := strings.Join(names(list), " ")
	for _, c := range list {
		fmt.Fprintf(w, "complete -c %s -n 'not __fish_seen_subcommand_from %s' -f -a %s -d %s\n", program, all, c.name, single(c.usage))
		seen := "__fish_seen_subcommand_from " + c.name
		if c.name == "run" {
			seen = "not __fish_seen_subcommand_from " + without(all, "run")
		}
		for _, o := range c.options {
			value := ""
			switch {
			case o.Name == "devname":
				value = " -x -a '(ls /sys/class/net)'"
			case o.Kind != Bool:
				value = " -r"
			}
			for _, n := range append([]string{o.Name}, o.Aliases...) {
				fmt.Fprintf(w, "complete -c %s -n '%s' -l %s%s -d %s\n", program, seen, n, value, single(o.Usage))
			}
		}
		for _, p := range c.subs {
			fmt.Fprintf(w, "complete -c %s -n '%s' -a %s -d %s\n", program, seen, strings.TrimPrefix(p.Name, c.name+" "), single(p.Usage))
		}
	}
	fmt.Fprintf(w, "complete -c %s -n '__fish_seen_subcommand_from attach' -f -a '(ls /sys/class/net)'\n", program)
}

// Zsh writes a completion script for zsh.
func Zsh(w io.Writer, program string, pages []Page) {
	list := words(pages)
	fmt.Fprintf(w, `#compdef %[1]s
# Completion of %[1]s for zsh: put it into a folder of $fpath as
# _%[1]s
local cmd word
for word in ${words[2,CURRENT-1]}; do
    case $word in
        %[2]s) cmd=$word; break ;;
    esac
done
local -a opts subs
case $cmd in
`, program, strings.Join(names(list), "|"))
	for _, c := range list {
		fmt.Fprintf(w, "    %s) opts=(%s) subs=(%s) ;;\n", c.pattern(), c.typed(), c.subNames())
	}
	fmt.Fprintf(w, `esac
if [[ $PREFIX == -* ]]; then
    compadd -S '' -a opts
elif [[ -z $cmd ]]; then
    compadd %[1]s
elif [[ $cmd == attach ]]; then
    compadd /sys/class/net/*(:t)
elif (( $#subs )) && [[ $words[CURRENT-1] == $cmd ]]; then
    compadd -a subs
else
    _files
fi
`, strings.Join(names(list), " "))
}

func without(names, name string) string {
	return strings.Join(slices.DeleteFunc(strings.Fields(names), func(n string) bool { return n == name }), " ")
}

// single quotes a text for a shell.
func single(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'" }
