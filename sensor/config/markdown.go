package config

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Example is a configuration file for a name server.
const Example = `; Every query and response to a database, except names on the skip list.
[capture]
devname = eth0

[psql_output]
psqloutputtype = 2
psqlendpointfile = /etc/dnsmonster-sensor/postgres
psqlbatchsize = 1000

[general]
servername = ns1.example.org
skipdomainsfile = /etc/dnsmonster-sensor/skip.csv
; do not store full addresses of clients
masksize4 = 24
masksize6 = 48
; what the database cannot take now waits on disk
spooldir = /var/lib/dnsmonster-sensor/spool

[metric]
metricprometheusendpoint = http://127.0.0.1:2112/metrics
`

// introduction is the page without its tables, for the name of the program, the
// reloadable options, and the example.
const introduction = `# Configuration

<!-- Written by "go generate ./sensor/cli" from the options' declarations; a test keeps it fresh. -->

%[1]s takes options from the command line, from environment variables and from a
configuration file. The command line overrides the environment, which overrides the file,
which overrides the default. Files and variables of dnsmonster work unchanged;
[MIGRATING.md](../MIGRATING.md) lists options whose meaning differs.

    %[1]s run --help                      every option, by section
    %[1]s run --help kafka                the options about a word
    %[1]s config check FILE               every value, its origin, what is wrong, what differs from dnsmonster
    %[1]s run --config=FILE               capture as configured by the file
    %[1]s run --writeconfig=FILE ...      write the current values to a file

The sensor first reports wrong options, each with the origin of its value, before it opens anything;
then all interfaces, files, lists and folders that are missing on this machine. config check reports all
of them at once, changes nothing, and contacts no server. writeconfig replaces a configuration atomically. It
replaces no other file without --force, and follows no symbolic links.

## Configuration file

%[3]s
- Only ` + "`=`" + ` separates key and value. ` + "`;` and `#`" + ` start a comment only at the start of a line. In a value,
  at its start or after white space, they are an error, unless the value is in double quotes. A value
  in double quotes is unquoted as in Go.
- Case does not matter in names of sections and keys. A key may come before the first section.
  Unknown keys and sections are errors.
- A switch with an empty value is on. A list option has one line for each value.

## Command line and environment

    %[1]s --devName eth0 --stdoutOutputType=1
    DNSMONSTER_DEVNAME=eth0 DNSMONSTER_STDOUTOUTPUTTYPE=1 %[1]s

- On the command line, case does not matter in names, and options may come before or after arguments.
  Values are never changed. A switch is turned on by its name, and off by ` + "`--name=false`" + `.
- A variable is DNSMONSTER_ and the option's name in capitals. It overrides the file, with a warning.
  A wrong value that is overridden is only a warning, too.
- Variables that Kubernetes sets for a service called dnsmonster, such as ` + "`DNSMONSTER_PORT=tcp://10.96.0.12:53`" + `,
  are recognised, named in a warning, and ignored.
- A destination on the command line is an error if its output is off, such as --fileoutputpath without
  --fileoutputtype. If the type is on the line, too, the default destination is accepted, so that a line
  may have all options. In a file or a variable it is a warning, as is any other option that has no
  effect because of other options.
- To give a list, repeat the option. Values are not split at commas, unless the option's description
  says so. A list replaces the list of an overridden origin as a whole.

## Secrets

Passwords and tokens are never shown in logs or errors, and are written to a file only with
` + "`--writesecrets`" + `. There are four ways to give them; all but the first keep them out of process lists:

- by their option;
- by their variable, or in the configuration file, with a warning if every user can read that;
- in a file that the option ` + "`<name>file`" + ` names; a line end at the end of the file is ignored;
- as a systemd credential of the option's name: ` + "`LoadCredential=clickhousepassword:/etc/...`" + `.

Files with secrets or with the key of a certificate should be private: a warning names those that every user can read.

## Reloading

SIGHUP reads the file again. These options change while the sensor runs: %[2]s,
and the types of outputs that are on. The log names the changed options and those that need a restart. A file
with which the sensor could not start changes nothing.

`

// Markdown writes docs/configuration.md.
func Markdown(w io.Writer, program string, pages []Page, pending []Feature) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, introduction, program, strings.Join(Reloadable, ", "), indent(Example))
	if len(pending) > 0 {
		var names []string
		for _, f := range pending {
			names = append(names, f.Name)
		}
		fmt.Fprintf(b, "Not in this build yet, and refused only if switched on: %s.\n\n", strings.Join(names, ", "))
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
	table := newOptionTable(pages)
	for _, s := range table.sections {
		if s == "" {
			fmt.Fprintf(b, "## %s\n\n", withoutSection)
		} else {
			fmt.Fprintf(b, "## [%s]\n\n", s)
		}
		b.WriteString("| option | default | environment | commands | |\n|---|---|---|---|---|\n")
		for _, o := range table.options[s] {
			fmt.Fprintf(b, "| `%s`%s | %s | %s | %s | %s |\n", o.Name, aliases(o), code(o.Default), code(o.Env),
				strings.Join(table.commands[o.Name], ", "), strings.ReplaceAll(o.Usage, "|", `\|`))
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
