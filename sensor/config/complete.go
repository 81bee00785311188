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

// Bash writes a completion script for bash.
func Bash(w io.Writer, program string, pages []Page) {
	fmt.Fprintf(w, `# Completion of %[1]s for bash: put it into
# /usr/share/bash-completion/completions/%[1]s
_dnsmonster_sensor() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= options= word
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $word in
            %[2]s) command=$word; break ;;
        esac
    done
    COMPREPLY=()
    if [[ $cur == -* ]]; then
        case $command in
`, program, strings.Join(commandNames(pages), "|"))
	for _, p := range pages {
		pattern := firstWord(p.Name)
		if pattern == "run" {
			pattern = "run|''"
		}
		fmt.Fprintf(w, "            %s) options='%s' ;;\n", pattern, p.words())
	}
	fmt.Fprintf(w, `        esac
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
    elif [[ -z $command && $prev != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '%[2]s' -- "$cur")
    elif [[ $command == attach && $prev != -* || $prev == --devname ]]; then
        mapfile -t COMPREPLY < <(cd /sys/class/net && compgen -W "$(echo *)" -- "$cur")
    elif [[ $command == config && $prev == config ]]; then
        mapfile -t COMPREPLY < <(compgen -W 'check' -- "$cur")
    fi
}
complete -o default -F _dnsmonster_sensor %[1]s
`, program, strings.Join(commandNames(pages), " "))
}

// Fish writes a completion script for fish.
func Fish(w io.Writer, program string, pages []Page) {
	fmt.Fprintf(w, "# Completion of %[1]s for fish: put it into\n# /usr/share/fish/vendor_completions.d/%[1]s.fish\n", program)
	names := strings.Join(commandNames(pages), " ")
	for _, p := range pages {
		first := firstWord(p.Name)
		fmt.Fprintf(w, "complete -c %s -n 'not __fish_seen_subcommand_from %s' -f -a %s -d %s\n", program, names, first, single(p.Usage))
		seen := "__fish_seen_subcommand_from " + first
		if first == "run" {
			seen = "not __fish_seen_subcommand_from " + without(names, "run")
		}
		for _, o := range p.visible() {
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
	}
	fmt.Fprintf(w, "complete -c %s -n '__fish_seen_subcommand_from attach' -f -a '(ls /sys/class/net)'\n", program)
	fmt.Fprintf(w, "complete -c %s -n '__fish_seen_subcommand_from config' -a check\n", program)
}

// Zsh writes a completion script for zsh.
func Zsh(w io.Writer, program string, pages []Page) {
	fmt.Fprintf(w, `#compdef %[1]s
# Completion of %[1]s for zsh: put it into a folder of $fpath as
# _%[1]s
local cmd word
for word in ${words[2,CURRENT-1]}; do
    case $word in
        %[2]s) cmd=$word; break ;;
    esac
done
local -a opts
case $cmd in
`, program, strings.Join(commandNames(pages), "|"))
	for _, p := range pages {
		pattern := firstWord(p.Name)
		if pattern == "run" {
			pattern = "run|''"
		}
		fmt.Fprintf(w, "    %s) opts=(%s) ;;\n", pattern, p.words())
	}
	fmt.Fprintf(w, `esac
if [[ $PREFIX == -* ]]; then
    compadd -S '' -a opts
elif [[ -z $cmd ]]; then
    compadd %[1]s
elif [[ $cmd == attach ]]; then
    compadd /sys/class/net/*(:t)
elif [[ $cmd == config && $words[CURRENT-1] == config ]]; then
    compadd check
else
    _files
fi
`, strings.Join(commandNames(pages), " "))
}

func commandNames(pages []Page) []string {
	var names []string
	for _, p := range pages {
		names = append(names, firstWord(p.Name))
	}
	return names
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

func without(names, name string) string {
	return strings.Join(slices.DeleteFunc(strings.Fields(names), func(n string) bool { return n == name }), " ")
}

// single quotes a text for a shell.
func single(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'" }
