package cli

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/endpoint"
	"dnsmonster-sensor/sensor/capture/dnstap"
	"dnsmonster-sensor/sensor/config"
)

// isSocketAddress reports whether a word looks like the address of a dnstap socket, and not
// like the name of an interface or file.
func isSocketAddress(word string) bool {
	scheme, _, ok := strings.Cut(strings.ToLower(word), ":")
	return ok && slices.Contains([]string{"unix", "tcp", "tls"}, scheme)
}

// asSocketAddress is the address that a word probably means, "" if it means none: a path,
// or a host with a port.
func asSocketAddress(word string) string {
	if a, err := dnstap.ParseAddress(word); err == nil && (isSocketAddress(word) || !isFile(word)) {
		return a.String()
	}
	if host, port, err := net.SplitHostPort(word); err == nil && host != "" && port != "" && !strings.Contains(word, "/") {
		return "tcp://" + word
	}
	if isSocket(word) || strings.HasSuffix(word, ".sock") || strings.HasSuffix(word, ".socket") {
		if path, err := filepath.Abs(word); err == nil {
			return "unix://" + path
		}
	}
	return ""
}

// isSocket reports whether there is a unix socket under a path.
func isSocket(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode()&os.ModeSocket != 0
}

// otherThanAddress is the error for arguments of dnstap that are no addresses, with the line
// that was probably meant; nil if it does not know one.
func otherThanAddress(inv *invocation, words []string) error {
	for _, word := range words {
		_, err := dnstap.ParseAddress(word)
		switch {
		case isSocketAddress(word), err == nil && !isFile(word):
		case asSocketAddress(word) != "":
			return argumentErrorf("dnstap: %q is not of the form unix://PATH, tcp://HOST:PORT or tls://HOST:PORT%s", endpoint.MaskAll(word), meantSockets(inv, words))
		case isInterface(word):
			return argumentErrorf("dnstap: %s is an interface, not an address%s", word, meant(inv.program, otherCommand(inv, "attach", words, isInterface)...))
		case isFile(word):
			return argumentErrorf("dnstap: %s is a file, not an address%s", word, meant(inv.program, otherCommand(inv, "replay", words, isFile)...))
		}
	}
	return nil
}

// otherCommand is the same line with another command, and the words that suit it.
func otherCommand(inv *invocation, command string, words []string, suits func(string) bool) []string {
	suitable := slices.DeleteFunc(slices.Clone(words), func(w string) bool { return !suits(w) })
	return slices.Concat([]string{command}, asArguments(suitable), optionWords(inv.command(command), withoutNames(inv.line.Given), nil))
}

// meantSockets ends an error with the command dnstap for words that are addresses, or
// nearly.
func meantSockets(inv *invocation, words []string) string {
	return meant(inv.program, slices.Concat([]string{"dnstap"}, socketWords(words), optionWords(inv.command("dnstap"), withoutNames(inv.line.Given), nil))...)
}

// socketWords are the addresses that words mean.
func socketWords(words []string) (addresses []string) {
	for _, w := range words {
		if a := asSocketAddress(w); a != "" {
			addresses = append(addresses, a)
		}
	}
	return addresses
}

// forDnstap is the error for an argument of attach or replay that belongs to dnstap, nil if
// none does.
func forDnstap(inv *invocation, names []string) error {
	for _, name := range names {
		switch {
		case isSocketAddress(name):
			return argumentErrorf("%s: %q is the address of a dnstap socket%s", inv.line.Command[0], endpoint.MaskAll(name), meantSockets(inv, names))
		case isSocket(name):
			return argumentErrorf("%s: %s is a socket%s", inv.line.Command[0], name, meantSockets(inv, names))
		}
	}
	return nil
}

// dnstapWithout adds the word dnstap to a line that has only addresses, nil if it does not.
func dnstapWithout(app *cli.App, line config.Line) []string {
	if len(line.Arguments) == 0 || !isSocketAddress(line.Arguments[0]) && !isSocket(line.Arguments[0]) || !hasAll(app.Command("dnstap"), line.Given) {
		return nil
	}
	return slices.Concat([]string{"dnstap"}, socketWords(line.Arguments), optionWords(app.Command("dnstap"), line.Given, nil))
}

// refuseSocket is the error for addresses as arguments of run.
func refuseSocket(inv *invocation, words []string) error {
	addresses := socketWords(words)
	line := slices.Concat([]string{"run", "--dnstapsocket=" + strings.Join(addresses, ",")}, optionWords(inv.command("run"), inv.line.Given, nil))
	return usageError("run takes no arguments%s, or: %s", meant(inv.program, line...), commandLine(inv.program, append([]string{"dnstap"}, addresses...)...))
}
