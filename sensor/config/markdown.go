package config

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Example is a file for a name server.
const Example = `; Every query and response, to a database, but for what the skip list names.
[capture]
devname = eth0

[psql_output]
psqloutputtype = 2
psqlendpointfile = /etc/dnsmonster-sensor/postgres
psqlbatchsize = 1000

[general]
servername = ns1.example.org
skipdomainsfile = /etc/dnsmonster-sensor/skip.csv
; addresses of clients are nobody's business
masksize4 = 24
masksize6 = 48
; what the database cannot take at once waits on disk
spooldir = /var/lib/dnsmonster-sensor/spool

[metric]
metricprometheusendpoint = http://127.0.0.1:2112/metrics
`

// Markdown writes docs/configuration.md.
func Markdown(w io.Writer, program string, pages []Page, pending []Feature) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, `# Configuration

<!-- Written by "go generate ./sensor/cli" from the options' declarations; a test keeps it fresh. -->

%[1]s takes options from the command line, from environment variables and from a
configuration file, and nothing else. The command line beats the environment, which
beats the file, which beats the default. What dnsmonster's files and environment say is
understood unchanged; [MIGRATING.md](../MIGRATING.md) lists where it means something else.

    %[1]s run --help                      every option, by section
    %[1]s run --help kafka                those that have to do with a word
    %[1]s config check FILE               every value, where it came from, what is wrong, what changes
    %[1]s run --config=FILE               capture as the file says
    %[1]s run --writeconfig=FILE ...      write a file with what is set now

All that is wrong is named at once, with the option and the place that its value came from, before
anything is opened; then all that is missing on this machine: interface, files, lists, folders. config
check does both, changes nothing, and asks no server. writeconfig replaces a configuration as a whole or
leaves it as it is; it replaces no other file without --force, and follows no symbolic link.

## A file

%[3]s
- Only `+"`=`"+` separates key and value. `+"`;` and `#`"+` start a comment at the start of a line and
  nowhere else: behind a value, at its start or behind white space, they are an error. A value that
  holds them so stands in double quotes. A value in double quotes is unquoted as in Go.
- Upper and lower case are the same in names of sections and keys. A key may stand before the first
  section. Unknown keys and sections are errors.
- A truth value that is left empty is true. A key that is repeated is a list, where the option is one.

## Command line and environment

    %[1]s --devName eth0 --stdoutOutputType=1
    DNSMONSTER_DEVNAME=eth0 DNSMONSTER_STDOUTOUTPUTTYPE=1 %[1]s

- On the command line, names may be in upper and lower case, and options before or behind arguments.
  Values are never touched. A truth value is switched on by its name, and off by `+"`--name=false`"+`.
- A variable is DNSMONSTER_ and the option's name in capitals. It overrides the file; a warning says so.
  A wrong value that a higher level overrides is a warning, too.
- Variables that Kubernetes sets for a service called dnsmonster, such as `+"`DNSMONSTER_PORT=tcp://10.96.0.12:53`"+`,
  are recognised, named in a warning, and ignored.
- A destination on the command line whose output is off is an error, such as --fileoutputpath without
  --fileoutputtype; its default is none where the type is on the line, too, as in a line of all options. In a file or a variable it is a warning, as is every other option that has no
  effect because of what else is set.
- A list is an option that is repeated; no value is split at commas, from no origin, unless the option
  itself says so. A list on a higher level replaces one on a lower level.

## Secrets

Passwords and tokens are never shown, neither in logs nor in errors, and written to a file only with
`+"`--writesecrets`"+`. They can be given in four ways, of which the last three keep them out of process lists:

- by their option;
- by their variable, or in the configuration file: a warning says so if everybody can read it;
- in a file that the option `+"`<name>file`"+` names; its last line end does not count;
- as a systemd credential of the option's name: `+"`LoadCredential=clickhousepassword:/etc/...`"+`.

Files with secrets, and those with the key of a certificate, are their owner's: a warning says so if everybody can read one.

## Reloading

SIGHUP reads the file again. What can change while running does: %[2]s,
and the types of outputs that are on. The log names what changed and what needs a new start. A file
with which the sensor would not start changes nothing.

`, program, strings.Join(Reloadable, ", "), indent(Example))
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

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line != "\n" {
			line = "    " + line
		}
		b.WriteString(line)
	}
	return b.String()
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
