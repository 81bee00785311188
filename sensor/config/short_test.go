package config

import (
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// shortCommands are a command with letters, as attach has them, and one without.
var shortCommands = []*cli.Command{
	{Name: "run", Flags: []cli.Flag{&cli.StringFlag{Name: "devname"}, &cli.IntSliceFlag{Name: "port"}}},
	{Name: "watch", Flags: []cli.Flag{
		&cli.StringSliceFlag{Name: "interface", Aliases: []string{"i"}}, &cli.IntFlag{Name: "count", Aliases: []string{"c"}},
		&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}}, &cli.DurationFlag{Name: "stats"}, &cli.BoolFlag{Name: "promiscuous"}, &cli.IntFlag{Name: "snaplen"},
	}},
}

// TestLettersAreGluedAsTcpdumpTakesThem: to each other and to their values, before and after
// the command, and only for a command that has such options.
func TestLettersAreGluedAsTcpdumpTakesThem(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		l := ParseLine(strings.Fields(line), shortCommands)
		var got []string
		for _, g := range l.Given {
			text := g.Name
			if g.Short {
				text = "-" + text
			}
			if g.HasValue {
				text += "=" + g.Value
			}
			got = append(got, text)
		}
		if text := strings.Join(append(got, l.Arguments...), " "); text != want {
			t.Errorf("%s: %s, want %s", line, text, want)
		}
	}
	f("watch -i eth0", "-i=eth0")
	f("watch -ieth0", "-i=eth0")
	f("watch -i=eth0", "-i=eth0")
	f("watch -nni eth0", "-n -n -i=eth0")
	f("watch -vvc10 eth0", "-v -v -c=10 eth0")
	f("watch -vv -c 10 -i any", "-v -v -c=10 -i=any")
	f("-c 5 watch eth0", "-c=5 eth0")
	f("-v watch eth0", "-v eth0")
	f("watch -s0 -pi eth0", "-s=0 -p -i=eth0")
	f("watch -w x.pcap eth0", "-w=x.pcap eth0")
	f("watch -C 5", "-C=5") // not -c
	f("watch -i -c", "-i=-c")
	f("watch -i", "-i")
	f("watch -c -1", "-c=-1")
	f("watch -- -i", "-i")
	f("watch --i eth0", "i=eth0")
	f("watch -stats 10s", "stats=10s") // a long option after a single dash
	f("watch -Stats=10s", "stats=10s")
	f("watch -verbose", "verbose")
	f("watch -help", "help")
	f("watch -iface eth0", "iface eth0") // no letters but another program's word
	f("watch -count5", "count5")         // nor here: the value of -c would be ount5
	f("watch -zoo", "-z=oo")
	f("watch -", "-")
	f("run -i eth0", "i=eth0") // and no option of run
	f("-devname eth0", "devname=eth0")
}

// TestForeignLetters: a letter of tcpdump is accepted if this program does what it asks for
// anyway. Otherwise the error names what there is.
func TestForeignLetters(t *testing.T) {
	options, err := FromFlags(shortCommands[1].Flags)
	if err != nil {
		t.Fatal(err)
	}
	f := func(line, want string) {
		t.Helper()
		in := Input{Command: "watch", Options: options, Known: func() []Option { return options }, Line: ParseLine(strings.Fields("watch "+line), shortCommands).Given}
		_, err := Resolve(in)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s:\n     %s\nwant %s", line, got, want)
		}
	}
	f("-nnlUqp -s0 -s 0", "")
	f("-p --promiscuous=false", "")
	f("-p --promiscuous", "-p and --promiscuous mean the opposite: leave one of them out")
	f("--promiscuous -p", "-p and --promiscuous mean the opposite: leave one of them out")
	f("-s 96", "-s is not an option of watch: use --snaplen=96")
	f("-w x.pcap", "-w is not an option of watch: records are not packets: write them with > FILE, or with --fileoutputtype=1 --fileoutputpath=FOLDER; packets are written by tcpdump itself")
	f("-rx.pcap", "-r is not an option of watch: a file is read by: dnsmonster-sensor replay x.pcap")
	f("-r", "-r is not an option of watch: a file is read by: dnsmonster-sensor replay FILE")
	f("-e", "-e is not an option of watch: addresses of the link layer are not recorded")
	f("-C 5", "-C is not an option of watch: use --fileoutputrotatecron and --fileoutputrotatecount, with --fileoutputtype=1; -c ends after a number of records")
	f("-I -n", "-I is not an option of watch: set up monitor mode with iw, then capture the interface as usual")
	f("-S", "-S is not an option of watch (see dnsmonster-sensor watch --help)")
	f("-cc", `unknown option -cc`)
	f("-c", "-c needs a value: -c NUMBER")
	f("-c x", `--count: "x" is not a whole number (from the command line)`)
	f("--iface eth0", "unknown option --iface: did you mean --interface?")
	f("--number 5", "unknown option --number: did you mean --count?")
	f("--json", "unknown option --json")
	f("--verb", "unknown option --verb: did you mean --verbose?")
	f("--inter eth0", "unknown option --inter: did you mean --interface?")
	f("--stats --verbose", `--stats: "--verbose" is not a time such as 500ms, 10s or 1m30s: the value is missing, --verbose follows (from the command line)`)
}
