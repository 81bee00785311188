package config

import (
	"fmt"
	"io"
	"strings"
)

// Bash writes a completion script for bash.
func Bash(w io.Writer, program string, pages []Page) {
	fmt.Fprintf(w, `# Completion of %[1]s for bash: put it into
# /usr/share/bash-completion/completions/%[1]s
_dnsmonster_sensor() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= options= words= word
    # bash splits --name=value into three words.
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case ${command:+$command }$word in
            %[2]s) command=${command:+$command }$word ;;
        esac
    done
    case $command in
        '') words='%[3]s' ;;
`, program, caseNames(pages), strings.Join(commandNames(pages), " "))
	for _, name := range commandNames(pages) {
		if subs := subcommands(pages, name); subs != nil {
			fmt.Fprintf(w, "        %s) words='%s' ;;\n", name, strings.Join(subs, " "))
		}
	}
	fmt.Fprintf(w, "        attach) words=$(cd /sys/class/net && echo * any) ;;\n    esac\n    case $command in\n")
	for _, p := range pages {
		fmt.Fprintf(w, "        %s) options='%s' ;;\n", casePattern(p.Name), p.optionWords())
	}
	fmt.Fprintf(w, `    esac
    if [[ ${prev,,} == @(--devname|--interface|-i) ]]; then
        words=$(cd /sys/class/net && echo * any)
    elif [[ $cur == -* ]]; then
        words=$options
    elif [[ $prev == -* ]]; then
        words= # a value, or the name of a file
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -o default -F _dnsmonster_sensor %[1]s
`, program)
}

// caseNames returns the patterns for all commands in a shell's case statement.
func caseNames(pages []Page) string {
	names := commandNames(pages)
	for _, p := range pages {
		if strings.Contains(p.Name, " ") {
			names = append(names, casePattern(p.Name))
		}
	}
	return strings.Join(names, "|")
}

// casePattern returns the pattern of one command. run is the default command.
func casePattern(name string) string {
	switch {
	case name == "run":
		return "run|''"
	case strings.Contains(name, " "):
		return "'" + name + "'"
	}
	return name
}

// Fish writes a completion script for fish.
func Fish(w io.Writer, program string, pages []Page) {
	fmt.Fprintf(w, "# Completion of %[1]s for fish: put it into\n# /usr/share/fish/vendor_completions.d/%[1]s.fish\n", program)
	names := commandNames(pages)
	none := "not __fish_seen_subcommand_from " + strings.Join(names, " ")
	described := make(map[string]bool)
	for _, p := range pages {
		first, second, isSub := strings.Cut(p.Name, " ")
		if !described[first] {
			described[first] = true
			usage := p.Usage
			if isSub {
				usage = p.Group
			}
			fmt.Fprintf(w, "complete -c %s -n '%s' -f -a %s -d %s\n", program, none, first, fishQuote(usage))
		}
		seen := "__fish_seen_subcommand_from " + first
		switch {
		case isSub:
			others := strings.Join(subcommands(pages, first), " ")
			fmt.Fprintf(w, "complete -c %s -n '%s; and not __fish_seen_subcommand_from %s' -f -a %s -d %s\n", program, seen, others, second, fishQuote(p.Usage))
			seen += "; and __fish_seen_subcommand_from " + second
		case first == "run":
			seen = "not __fish_seen_subcommand_from " + without(names, "run")
		}
		for _, o := range p.visible() {
			value := ""
			switch {
			case o.Name == "devname" || o.Name == "interface":
				value = " -x -a '(ls /sys/class/net) any'"
			case !o.isSwitch():
				value = " -r"
			}
			short := ""
			if o.Short != "" {
				short = " -s " + o.Short
			}
			for _, n := range append([]string{o.Name}, o.Aliases...) {
				fmt.Fprintf(w, "complete -c %s -n '%s'%s -l %s%s -d %s\n", program, seen, short, n, value, fishQuote(o.Usage))
				short = ""
			}
		}
	}
	fmt.Fprintf(w, "complete -c %s -n '__fish_seen_subcommand_from attach' -f -a '(ls /sys/class/net) any'\n", program)
}

// Zsh writes a completion script for zsh.
func Zsh(w io.Writer, program string, pages []Page) {
	fmt.Fprintf(w, `#compdef %[1]s
# Completion of %[1]s for zsh: put it into a folder of $fpath as
# _%[1]s
local cmd word
local -a opts args
for word in ${words[2,CURRENT-1]}; do
    case ${cmd:+$cmd }$word in
        %[2]s) cmd=${cmd:+$cmd }$word ;;
    esac
done
case $cmd in
    '') args=(%[3]s) ;;
`, program, caseNames(pages), strings.Join(commandNames(pages), " "))
	for _, name := range commandNames(pages) {
		if subs := subcommands(pages, name); subs != nil {
			fmt.Fprintf(w, "    %s) args=(%s) ;;\n", name, strings.Join(subs, " "))
		}
	}
	fmt.Fprintf(w, "    attach) args=(/sys/class/net/*(:t) any) ;;\nesac\ncase $cmd in\n")
	for _, p := range pages {
		fmt.Fprintf(w, "    %s) opts=(%s) ;;\n", casePattern(p.Name), p.optionWords())
	}
	fmt.Fprint(w, `esac
if [[ $PREFIX == --*=* ]]; then
    compset -P '*='
    args=() words[CURRENT-1]=${words[CURRENT]%%=*}
elif [[ $PREFIX == -* ]]; then
    compadd -S '' -a opts
    return
fi
if [[ ${(L)words[CURRENT-1]} == (--devname|--interface|-i) ]]; then
    args=(/sys/class/net/*(:t) any)
elif [[ $words[CURRENT-1] == --* ]]; then
    args=() # a value, or the name of a file
fi
if (( $#args )); then
    compadd -a args
else
    _files
fi
`)
}

// fishQuote quotes a text for fish.
func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
