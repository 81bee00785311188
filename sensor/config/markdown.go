package config

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Markdown writes docs/configuration.md.
func Markdown(w io.Writer, program string, pages []Page, pending []Feature) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, `# Configuration

<!-- Written by "go generate ./sensor" from the options' declarations; a test keeps it fresh. -->

%[1]s takes options from the command line, from environment variables and from a
configuration file, and nothing else. The command line beats the environment, which
beats the file, which beats the default. What dnsmonster's files and environment say is
understood unchanged; MIGRATING.md lists where it means something else.

    %[1]s config check FILE               every value, where it came from, what is wrong, what changes
    %[1]s run --config=FILE               capture as the file says
    %[1]s run --writeconfig=FILE ...      write a file with what is set now

- On the command line, names may be in upper and lower case, and options before or behind
  arguments. A list is an option that is repeated; no value is ever split at commas. A list
  on a higher level replaces one on a lower level.
- In a file, only `+"`=`"+` separates key and value. `+"`;` and `#`"+` start a comment at the start of a
  line and nowhere else. A value in double quotes is unquoted as in Go. A truth value that is
  left empty is true. Unknown keys and sections are errors.
- A secret can also be in a file that the option <name>file names, or be a systemd credential
  of the option's name (LoadCredential=). It is never shown, and written only with --writesecrets.
- SIGHUP reads the file again. What can change while running does: %[2]s. The log names what
  cannot.

`, program, strings.Join(Reloadable, ", "))
	if len(pending) > 0 {
		var names []string
		for _, f := range pending {
			names = append(names, f.Name)
		}
		fmt.Fprintf(b, "Not in this build yet, and refused only where it is switched on: %s.\n\n", strings.Join(names, ", "))
	}
	markdownTables(b, pages)
	return b.Flush()
}

func markdownTables(b *bufio.Writer, pages []Page) {
	var sections []string
	var all []Option
	commands := make(map[string][]string)
	for _, p := range pages {
		for _, o := range p.visible() {
			if commands[o.Name] == nil {
				all = append(all, o)
				if !slices.Contains(sections, o.Section) {
					sections = append(sections, o.Section)
				}
			}
			commands[o.Name] = append(commands[o.Name], p.Name)
		}
	}
	for _, s := range sections {
		if s == "" {
			b.WriteString("## On the command line only\n\n")
		} else {
			fmt.Fprintf(b, "## [%s]\n\n", s)
		}
		b.WriteString("| option | default | environment | commands | |\n|---|---|---|---|---|\n")
		for _, o := range all {
			if o.Section != s {
				continue
			}
			fmt.Fprintf(b, "| `%s`%s | %s | %s | %s | %s |\n", o.Name, aliases(o), code(o.Default), code(o.Env),
				strings.Join(commands[o.Name], ", "), strings.ReplaceAll(o.Usage, "|", `\|`))
		}
		b.WriteByte('\n')
	}
}

func aliases(o Option) string {
	if len(o.Aliases) == 0 {
		return ""
	}
	return ", " + code(o.Aliases)
}

func code(list []string) string {
	var out []string
	for _, s := range list {
		if s != "" {
			out = append(out, "`"+strings.ReplaceAll(s, "|", `\|`)+"`")
		}
	}
	return strings.Join(out, ", ")
}
