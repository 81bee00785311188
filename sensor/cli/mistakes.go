package cli

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/endpoint"
	"dnsmonster-sensor/sensor/capture/watch"
	"dnsmonster-sensor/sensor/config"
)

// meant is the end of an error: the command line that was probably meant, to be copied.
func meant(program string, words ...string) string {
	return ": did you mean: " + commandLine(program, words...)
}

// commandLine is a command line as a shell takes it.
func commandLine(program string, words ...string) string {
	line := []string{program}
	for _, w := range words {
		line = append(line, shellWord(withoutSecret(w)))
	}
	return strings.Join(line, " ")
}

// withoutSecret masks a word that may hold a password: of an option only the value. The
// names of files are none.
func withoutSecret(word string) string {
	name, value, ok := strings.Cut(word, "=")
	switch {
	case ok && strings.HasPrefix(word, "-"):
		return name + "=" + withoutSecret(value)
	case exists(word):
		return word
	}
	return endpoint.MaskAll(word)
}

// shellWord quotes a word that a shell would change.
func shellWord(word string) string {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_=./:,@+%^", c)
	}
	if word != "" && !strings.ContainsFunc(word, func(c rune) bool { return !plain(c) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// withoutCommand is the error for a line that names no command and does not suit run. Often
// only the word attach or replay is missing.
func withoutCommand(app *cli.App, args []string, line config.Line) error {
	program, args := args[0], args[1:]
	if words := attachOrReplay(app, args, line); words != nil {
		if strings.HasPrefix(args[0], "-") {
			return usageError("no command%s", meant(program, words...))
		}
		return usageError("unknown command %q%s", line.Arguments[0], meant(program, words...))
	}
	if words := dnstapWithout(app, line); words != nil {
		return usageError("unknown command %q%s", endpoint.MaskAll(line.Arguments[0]), meant(program, words...))
	}
	if len(line.Arguments) == 0 {
		return lacksCommand(app, program, line)
	}
	word := line.Arguments[0]
	if word == "true" || word == "false" {
		return unknownCommand(app, word)
	}
	if err := valueOfUnknown(app, args, word); err != nil {
		return err
	}
	if command := nearestCommand(app.Commands, word); command != nil {
		at := slices.Index(args, word)
		full := config.ParseLine(slices.Concat(command, args[:at], args[at+1:]), app.Commands)
		cmd := commandOf(app, full)
		words := slices.Concat(full.Command, asArguments(full.Arguments), optionWords(cmd, full.Given, nil))
		if lacksOption(cmd, full.Given) {
			words = append(full.Command, "...")
		}
		return usageError("unknown command %q%s", endpoint.MaskAll(word), meant(program, words...))
	}
	if err := unknownCommand(app, word); word == "version" || err == nil {
		return err
	}
	return usageError("unknown command %q, and no interface or file of this name (see dnsmonster-sensor --help)", endpoint.MaskAll(word))
}

// valueOfUnknown is the error for a word after an option that no command has, nil if it
// follows none. The word is perhaps the option's value, and perhaps a secret.
func valueOfUnknown(app *cli.App, args []string, word string) error {
	at := slices.Index(args, word) - 1
	if at < 0 || !strings.HasPrefix(args[at], "--") || strings.Contains(args[at], "=") {
		return nil
	}
	if name := strings.ToLower(args[at][2:]); name == "" || hasOption(app.Commands, name) {
		return nil
	}
	return usageError("unknown option %s (see dnsmonster-sensor --help)", endpoint.MaskAll(args[at]))
}

// hasOption reports whether a command or one of its subcommands has an option.
func hasOption(commands []*cli.Command, name string) bool {
	return slices.ContainsFunc(commands, func(c *cli.Command) bool {
		return hasAll(c, []config.Given{{Name: name}}) || hasOption(c.Subcommands, name)
	})
}

// lacksCommand is the error for options of attach, replay and dnstap that run lacks, nil if there
// are none.
func lacksCommand(app *cli.App, program string, line config.Line) error {
	for _, g := range line.Given {
		list := owners(app, g.Name)
		if len(list) == 0 || slices.Contains(list, "run") {
			continue
		}
		words := append([]string{list[0], map[string]string{"attach": "eth0", "replay": "day.pcap", "dnstap": "unix:///run/dnsmonster.sock"}[list[0]]}, optionWords(app.Command(list[0]), line.Given, nil)...)
		return usageError("no command: %s is an option of %s, such as: %s", dashed(g.Name), joinAnd(list), commandLine(program, words...))
	}
	return nil
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// attachOrReplay adds the missing word attach or replay to a line. It returns nil if neither
// makes the line right.
func attachOrReplay(app *cli.App, args []string, line config.Line) []string {
	for _, c := range []struct {
		name, option, short string
		others              []string
		exists              func(string) bool
	}{
		{"attach", "interface", "i", []string{"iface", "device", "dev"}, isInterface},
		{"replay", "read", "r", []string{"file", "pcap"}, isFile},
	} {
		full := config.ParseLine(append([]string{c.name}, args...), app.Commands)
		var names []string
		named := false
		for i := 0; i < len(full.Given); i++ {
			g := full.Given[i]
			if g.Name == c.option || g.Short && g.Name == c.short || slices.Contains(c.others, g.Name) {
				named = true
				if g.HasValue {
					names = append(names, g.Value)
				}
				full.Given = slices.Delete(full.Given, i, i+1)
				i--
			}
		}
		if !named && (len(line.Arguments) == 0 || !c.exists(line.Arguments[0]) || isConfiguration(line.Arguments[0])) || !hasAll(app.Command(c.name), full.Given) {
			continue
		}
		names, ports, given := cutPorts(append(names, full.Arguments...), full.Given, c.exists)
		names, filter := cutFilter(names, c.exists)
		if len(names) == 0 { // -i or -r without a value
			continue
		}
		return slices.Concat([]string{c.name}, asArguments(names), optionWords(app.Command(c.name), given, append(ports, filter...)))
	}
	return nil
}

// asArguments are names as a line can have them, also those of files that begin with a
// dash.
func asArguments(names []string) (words []string) {
	for _, n := range names {
		if strings.HasPrefix(n, "-") && n != "-" {
			n = "./" + n
		}
		words = append(words, n)
	}
	return words
}

// hasAll reports whether a command has all options that are given, or tcpdump has them.
func hasAll(cmd *cli.Command, given []config.Given) bool {
	for _, g := range given {
		if !g.Short && !slices.ContainsFunc(cmd.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), g.Name) }) {
			return false
		}
	}
	return true
}

// lacksOption reports whether an option without a value is unknown to the command. The next
// argument is perhaps its value, and perhaps a secret.
func lacksOption(cmd *cli.Command, given []config.Given) bool {
	return slices.ContainsFunc(given, func(g config.Given) bool { return !g.HasValue && !hasAll(cmd, []config.Given{g}) })
}

// optionWords are the options of a command that are given, as they are typed, and --port for
// the ports of a filter.
func optionWords(cmd *cli.Command, given []config.Given, filter []string) (words []string) {
	for i, g := range given {
		if isSecret(cmd, g.Name) {
			g.Value = endpoint.Mask
		}
		switch {
		case !g.Short && !hasAll(cmd, given[i:i+1]), lacksValue(cmd, g): // it is a mistake of its own
		case slices.Contains(given[:i], g):
		case len(g.Name) == 1 && g.HasValue:
			words = append(words, dashed(g.Name), g.Value)
		case g.HasValue:
			words = append(words, dashed(g.Name)+"="+g.Value)
		default:
			words = append(words, dashed(g.Name))
		}
	}
	if ports := portsOf(filter); len(ports) > 0 {
		words = append(words, "--port="+strings.Join(ports, ","))
	}
	return words
}

// lacksValue reports whether an option takes a value and has none.
func lacksValue(cmd *cli.Command, g config.Given) bool {
	return !g.HasValue && slices.ContainsFunc(cmd.Flags, func(f cli.Flag) bool {
		d, ok := f.(cli.DocGenerationFlag)
		return ok && d.TakesValue() && slices.Contains(f.Names(), g.Name)
	})
}

// isSecret reports whether the value of an option must not be shown.
func isSecret(cmd *cli.Command, name string) bool {
	return slices.ContainsFunc(cmd.Flags, func(f cli.Flag) bool {
		_, secret := f.(*outputs.SecretFlag)
		return secret && slices.Contains(f.Names(), name)
	})
}

func isInterface(name string) bool { return watch.Exists(name) }

// isFile reports whether there is something to read under a path; a folder and a socket are
// not.
func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && !st.IsDir() && st.Mode()&os.ModeSocket == 0
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// isConfiguration reports whether a word looks like the name of a configuration file.
func isConfiguration(word string) bool {
	return strings.HasSuffix(word, ".ini") || strings.HasSuffix(word, ".conf") || strings.HasSuffix(word, ".cfg")
}

// commandSynonyms maps words that people try, or know from other programs, to the commands
// that they mean.
var commandSynonyms = map[string]string{
	"capture": "attach", "listen": "attach", "sniff": "attach", "live": "attach", "monitor": "attach", "start": "run",
	"receive": "dnstap", "tap": "dnstap", "socket": "dnstap", "fstrm": "dnstap",
	"read": "replay", "pcap": "replay", "file": "replay", "play": "replay",
	"interfaces": "check", "list": "ls", "show": "ls", "status": "ls",
	"dump": "export", "print": "export", "cat": "export",
	"delete": "drop", "remove": "drop", "rm": "drop", "clear": "drop",
	"test": "check", "validate": "check", "verify": "check", "lint": "check",
	"create": "init", "schema": "sql", "psql": "postgres", "postgresql": "postgres", "pg": "postgres", "ch": "clickhouse", "retention": "ttl",
}

// nearestCommand is the command that a word probably means, and what replaces the word;
// nil if there is none.
func nearestCommand(commands []*cli.Command, word string) []string {
	var names []string
	for _, c := range commands {
		names = append(names, c.Name)
	}
	switch other := commandSynonyms[word]; {
	case slices.Contains(names, other):
		return []string{other}
	case slices.Contains(names, "run") && isConfiguration(word):
		return []string{"run", "--config=" + word}
	case config.Nearest(word, names) != "":
		return []string{config.Nearest(word, names)}
	}
	return nil
}

// unknownSubcommand is the error for a word that is no command of a group, nil if there is
// no word.
func unknownSubcommand(app *cli.App, args []string, cmd *cli.Command, line config.Line) error {
	if len(cmd.Subcommands) == 0 || len(line.Arguments) == 0 {
		return nil
	}
	word, rest := line.Arguments[0], line.Arguments[1:]
	if err := valueOfUnknown(app, args, word); err != nil {
		return err
	}
	var names []string
	for _, c := range cmd.Subcommands {
		names = append(names, c.Name)
	}
	name := nearestCommand(cmd.Subcommands, word)
	if name == nil && slices.Contains(names, "check") && (isConfiguration(word) || isFile(word)) {
		name, rest = []string{"check"}, line.Arguments
	}
	above := strings.Join(line.Command, " ")
	word = endpoint.MaskAll(word)
	if name == nil {
		return usageError("%s has no command %q: it has %s", above, word, joinAnd(names))
	}
	line.Command = append(line.Command, name...)
	meantCommand := commandOf(app, line)
	words := slices.Concat(line.Command, asArguments(rest), optionWords(meantCommand, line.Given, nil))
	if lacksOption(meantCommand, line.Given) {
		words = append(line.Command, "...")
	}
	return usageError("%s has no command %q%s", above, word, meant(args[0], words...))
}

// joinAnd lists names with "and" before the last one.
func joinAnd(names []string) string {
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// filterWords begin a filter expression of tcpdump, or join its parts.
var filterWords = strings.Fields("port portrange host net src dst udp tcp ip ip6 and or not proto ether vlan arp icmp icmp6 " +
	"broadcast multicast gateway less greater inbound outbound mpls")

// cutFilter separates names from a filter expression after them. A word that is the name of
// an interface or file belongs to the names.
func cutFilter(arguments []string, exists func(string) bool) (names, filter []string) {
	for i, a := range arguments {
		word, _, _ := strings.Cut(strings.ToLower(strings.TrimLeft(a, "( !")), " ")
		if slices.Contains(filterWords, word) && !exists(a) {
			return arguments[:i], arguments[i:]
		}
	}
	return arguments, nil
}

// portsOf are the ports that a filter expression asks for.
func portsOf(filter []string) (ports []string) {
	words := strings.Fields(strings.NewReplacer("(", " ", ")", " ").Replace(strings.Join(filter, " ")))
	for i, w := range words[:max(len(words)-1, 0)] {
		port := words[i+1]
		if port == "domain" {
			port = "53"
		}
		if _, err := strconv.ParseUint(port, 10, 16); w == "port" && err == nil && !slices.Contains(ports, port) {
			ports = append(ports, port)
		}
	}
	return ports
}

// filterError is the error for a filter expression, with the nearest line that works.
func filterError(inv *invocation, names, filter []string) error {
	words := slices.Concat(inv.line.Command, asArguments(names), optionWords(inv.command(inv.line.Command[0]), withoutNames(inv.line.Given), filter))
	return argumentErrorf("%s: %q is a filter of tcpdump; this build has no filters, only --port=53,853 and --allowdomainsfile=FILE%s",
		inv.line.Command[0], endpoint.MaskAll(strings.Join(filter, " ")), meant(inv.program, words...))
}

// withoutNames leaves out the options that name what is captured.
func withoutNames(given []config.Given) (list []config.Given) {
	for _, g := range given {
		if g.Name != "interface" && g.Name != "read" && !(g.Short && (g.Name == "i" || g.Name == "r")) {
			list = append(list, g)
		}
	}
	return list
}

// checkNames looks for mistakes in what attach or replay is to capture: a filter, or names
// that the other command takes.
func checkNames(inv *invocation, names []string, exists, otherExists func(string) bool, other, what string) error {
	if err := portOfDig(inv, names, exists); err != nil {
		return err
	}
	if err := forDnstap(inv, names); err != nil {
		return err
	}
	before, filter := cutFilter(names, exists)
	if filter != nil {
		return filterError(inv, before, filter)
	}
	for _, name := range names {
		if !exists(name) && otherExists(name) {
			theirs := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !otherExists(n) })
			words := slices.Concat([]string{other}, asArguments(theirs), optionWords(inv.command(other), withoutNames(inv.line.Given), nil))
			return argumentErrorf("%s: %s is %s%s", inv.line.Command[0], name, what, meant(inv.program, words...))
		}
	}
	return nil
}

// portOfDig is the error for -p with a port, as dig takes it. tcpdump's -p takes no value.
func portOfDig(inv *invocation, names []string, exists func(string) bool) error {
	rest, ports, given := cutPorts(names, withoutNames(inv.line.Given), exists)
	if ports == nil {
		return nil
	}
	words := slices.Concat(inv.line.Command, asArguments(rest), optionWords(inv.command(inv.line.Command[0]), given, ports))
	return argumentErrorf("%s: -p takes no value; ports are chosen by --port%s", inv.line.Command[0], meant(inv.program, words...))
}

// cutPorts separates names from the numbers that follow -p: dig's option for a port, which
// to tcpdump means something else and takes no value. ports are words of a filter, nil if
// there are no such numbers; then nothing changes.
func cutPorts(names []string, given []config.Given, exists func(string) bool) (rest, ports []string, others []config.Given) {
	isP := func(g config.Given) bool { return g.Short && g.Name == "p" }
	if !slices.ContainsFunc(given, isP) {
		return names, nil, given
	}
	for _, name := range names {
		if _, err := strconv.ParseUint(name, 10, 16); err == nil && !exists(name) {
			ports = append(ports, "port", name)
		} else {
			rest = append(rest, name)
		}
	}
	if ports == nil {
		return names, nil, given
	}
	return rest, ports, slices.DeleteFunc(slices.Clone(given), isP)
}
