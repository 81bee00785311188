package config

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Example is a configuration file for a name server.
const Example = `; Every query and response to a database, except names on the skip list.
[capture]
devname = eth0

[psql_output]
psqloutputtype = 2
psqlendpointfile = /etc/dnsmonster-sensor/psqlendpoint
psqlbatchsize = 1000

[general]
servername = ns1.example.org
skipdomainsfile = /etc/dnsmonster-sensor/skipdomains.csv
; do not store full addresses of clients
masksize4 = 24
masksize6 = 48
; what the database cannot take now waits on disk
spooldir = /var/lib/dnsmonster-sensor/spool

[metric]
metricprometheusendpoint = http://127.0.0.1:2112/metrics
`

// introduction begins the page, for the name of the program and the example. ~ stands for a
// backquote.
const introduction = `# Configuration

<!-- Written by "go generate ./sensor/cli" from the declarations; a test keeps it fresh. -->

%[1]s takes options from the command line, from environment variables and from a
configuration file. The command line overrides the environment, the environment overrides the file,
and the file overrides the default. Files and variables of dnsmonster work unchanged;
[MIGRATING.md](../MIGRATING.md) lists the options whose meaning differs.

~~~sh
%[1]s run --help               # the most used options, by task
%[1]s run --help all           # every option, by section
%[1]s --help mask              # the options about a word
%[1]s config check /etc/dnsmonster.ini    # what is wrong, what is set, what differs
%[1]s run --port=5353 --writeconfig=new.ini    # write the current values to a file
~~~

Wrong options are reported first, each with the origin of its value, before anything is opened. Then
the sensor reports all interfaces, files, lists and folders that are missing on this machine.
~config check~ reports all of that at once. It changes nothing and contacts no server.
~--writeconfig~ replaces a configuration file as a whole, or leaves it as it is. It replaces no
other file without ~--force~, and it follows no symbolic links.

## Configuration file

~~~ini
%[2]s~~~

- Only ~=~ separates key and value. ~;~ and ~#~ start a comment only at the start of a line. In a
  value, at its start or after white space, they are an error unless the value is in double quotes.
  A value in double quotes is unquoted as in Go.
- Case does not matter in names of sections and keys. A key may come before the first section.
  Unknown keys and sections are errors.
- A switch with an empty value is on. A list option has one line for each value.

## Command line and environment

~~~sh
%[1]s --devName eth0 --stdoutOutputType=1
DNSMONSTER_DEVNAME=eth0 DNSMONSTER_STDOUTOUTPUTTYPE=1 %[1]s
~~~

- Case does not matter in names on the command line, and options may come before or after arguments.
  Values are never changed. A switch is turned on by its name, and off by ~--name=false~.
- A variable is DNSMONSTER_ and the option's name in capitals. It overrides the file, with a
  warning. A wrong value that is overridden is only a warning, too.
- Kubernetes sets variables for a service called dnsmonster, such as
  ~DNSMONSTER_PORT=tcp://10.96.0.12:53~. They are recognised and ignored, and a warning names them.
- A destination on the command line is an error if its output is off, such as ~--fileoutputpath~
  without ~--fileoutputtype~. If the type is on the command line too, the default destination is
  accepted: some command lines have all options. In a file or a variable it is a warning. Other
  options that have no effect because of the values of others are warnings, too.
- To give a list, repeat the option. A value is split at commas only if the option's description
  says so. A list replaces the whole list of the origin that it overrides.

## Secrets

Passwords and tokens are never shown in logs or errors. They are written to a file only with
~--writesecrets~. There are four ways to give them, and all but the first keep them out of process
lists:

- by their option;
- by their variable, or in the configuration file, with a warning if every user can read that file;
- in a file that the option ~<name>file~ names; a newline at the end of that file is ignored;
- as a systemd credential with the option's name, such as
  ~LoadCredential=psqlendpoint:/etc/dnsmonster-sensor/psqlendpoint~.

Files with secrets, and those with the key of a certificate, should be private: a warning names each
one that every user can read.

## Reloading

`

// Markdown writes docs/configuration.md.
func Markdown(w io.Writer, program string, pages []Page, pending []Feature) error {
	b := bufio.NewWriter(w)
	text := strings.NewReplacer("~~~", "```", "~", "`").Replace(introduction)
	fmt.Fprintf(b, text, program, Example)
	paragraph(b, "SIGHUP reads the file again. These options change while the sensor runs: `"+strings.Join(Reloadable, "`, `")+"`, and the types of "+
		"outputs that are on. The log names the options that changed and those that need a restart. A file with which the sensor could not start changes nothing.")
	markdownTables(b, newOptionTable(pages, (*Option).visible), "##")
	if len(pending) > 0 {
		var names []string
		for _, f := range pending {
			names = append(names, f.Name)
		}
		b.WriteString("## Known, not in this build\n\n")
		paragraph(b, "This build does not have these: "+strings.Join(names, ", ")+". Their options are accepted, so that files, "+
			"variables and command lines of dnsmonster work. An option that switches one of them on is an error.")
		markdownTables(b, newOptionTable(pages, func(o *Option) bool { return o.isPending() && !o.Hidden }), "###")
	}
	return b.Flush()
}

// paragraph writes text in lines of 100 columns.
func paragraph(b *bufio.Writer, text string) {
	at := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case at == 0:
		case at+1+len(word) > 100:
			b.WriteByte('\n')
			at = 0
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += len(word)
	}
	b.WriteString("\n\n")
}

func markdownTables(b *bufio.Writer, table *optionTable, level string) {
	for _, s := range table.sections {
		if s == "" {
			fmt.Fprintf(b, "%s %s\n\n", level, withoutSection)
		} else {
			fmt.Fprintf(b, "%s [%s]\n\n", level, s)
		}
		b.WriteString("| option | default | environment | commands | |\n|---|---|---|---|---|\n")
		for _, o := range table.options[s] {
			fmt.Fprintf(b, "| `%s`%s | %s | %s | %s | %s |\n", o.Name, aliases(o), code(o.Default), code(o.Env),
				strings.Join(table.commands[o.Name], ", "), strings.ReplaceAll(strings.TrimPrefix(o.Usage, lacking), "|", `\|`))
		}
		b.WriteByte('\n')
	}
}

func aliases(o Option) string {
	list := slices.Clone(o.Aliases)
	if o.Short != "" {
		list = append(list, "-"+o.Short)
	}
	if len(list) == 0 {
		return ""
	}
	return ", " + code(list)
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
