package config

import (
	"fmt"
	"testing"

	"github.com/urfave/cli/v2"
)

var testCommands = []*cli.Command{
	{Name: "run", Flags: []cli.Flag{&cli.IntFlag{Name: "port"}, &cli.StringFlag{Name: "template"}, &cli.BoolFlag{Name: "dedup"}}},
	{Name: "attach", Flags: []cli.Flag{&cli.StringFlag{Name: "mode"}}},
	{Name: "config", Subcommands: []*cli.Command{{Name: "check", Flags: []cli.Flag{&cli.BoolFlag{Name: "json"}}}}},
}

func TestParseLine(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		l := ParseLine(args, testCommands)
		got := fmt.Sprint(l.Command)
		for _, g := range l.Given {
			got += " " + g.Name
			if g.HasValue {
				got += "=" + fmt.Sprintf("%q", g.Value)
			}
		}
		if got += fmt.Sprintf(" %q", l.Arguments); got != want {
			t.Errorf("ParseLine(%q) = %s, want %s", args, got, want)
		}
	}
	f(`[] []`)
	f(`[attach] port="5353" ["eth0"]`, "attach", "eth0", "--port", "5353")
	f(`[attach] port="5353" ["eth0"]`, "attach", "--port=5353", "eth0")
	f(`[attach] port="5353" ["eth0"]`, "--port", "5353", "attach", "eth0")
	f(`[attach] port="5353" ["eth0"]`, "--PoRt=5353", "attach", "eth0")
	f(`[] port="53" dedup template="Ab" []`, "-port", "53", "--Dedup", "--TEMPLATE", "Ab")
	f(`[] dedup ["true"]`, "--dedup", "true")
	f(`[] dedup="false" []`, "--dedup=false")
	f(`[] template="--Port" []`, "--template", "--Port")
	f(`[] template="-" []`, "--template", "-")
	f(`[] template="a=B,c" []`, "--template=a=B,c")
	f(`[] template="" []`, "--template=")
	f(`[] template []`, "--template")
	f(`[] unknown ["x"]`, "--unknown", "x")
	f(`[attach] ["-" "eth0"]`, "attach", "-", "eth0")
	f(`[attach] ["--port" "53"]`, "attach", "--", "--port", "53")
	f(`[config check] json ["run"]`, "config", "check", "run", "--json")
	f(`[attach] ["run"]`, "attach", "run") // an interface may have this name
}

func TestDefect23ValuesAreNotFolded(t *testing.T) {
	for _, args := range [][]string{{"--template", "--Word {{.DNS}}"}, {"--template=--Word {{.DNS}}"}, {"--Template=--Word {{.DNS}}"}} {
		if l := ParseLine(args, testCommands); len(l.Given) != 1 || l.Given[0].Value != "--Word {{.DNS}}" {
			t.Errorf("ParseLine(%q) = %+v, want the value as it is", args, l)
		}
	}
}
