//go:build linux

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/all"
	"dnsmonster-sensor/outputs/secure"
	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/userspace/event"
)

// relay is an output that declares everything that outputs have in common, as a new one
// would.
type relay struct {
	outputs.Basics
	url   string
	tls   secure.TLS
	login secure.Login
	fail  string
}

func newRelay() *relay { return &relay{Basics: outputs.NewBasics("relay")} }

func (o *relay) Flags() []cli.Flag {
	return slices.Concat(
		[]cli.Flag{
			o.TypeFlag("DNSMONSTER_RELAYOUTPUTTYPE", "for the relay"),
			&cli.StringFlag{Category: o.Section(), Name: "relayoutputendpoint", EnvVars: []string{"DNSMONSTER_RELAYOUTPUTENDPOINT"}, Destination: &o.url, Usage: "`URL` of the relay"},
			o.WorkersFlag("DNSMONSTER_RELAYOUTPUTWORKERS", 2, "`NUMBER` of connections"),
			o.TimeoutFlag("DNSMONSTER_RELAYTIMEOUT", 5e9),
		},
		o.BatchFlags("DNSMONSTER_RELAYBATCHSIZE", 1000, "`NUMBER` of records in a batch", "DNSMONSTER_RELAYBATCHDELAY", 0),
		o.FormatFlags("DNSMONSTER_RELAYOUTPUTFORMAT", "DNSMONSTER_RELAYOUTPUTGOTEMPLATE"),
		o.tls.Flags(o.Section(), "DNSMONSTER_RELAYCAFILE", "DNSMONSTER_RELAYCERTFILE", "DNSMONSTER_RELAYKEYFILE"),
		o.login.Flags(o.Section(), "DNSMONSTER_RELAYUSERNAME", "DNSMONSTER_RELAYPASSWORD", "DNSMONSTER_RELAYPASSWORDFILE"),
	)
}

func (o *relay) Settings() (outputs.Settings, error) {
	s, err := o.Basics.Settings()
	if err != nil || o.IsOff() {
		return s, err
	}
	_, err = o.tls.Config("", o.Common.SkipVerify)
	return s, errors.Join(err, o.login.Check())
}

func (o *relay) Open(context.Context) (outputs.Writer, error) { return relayWriter{}, nil }

type relayWriter struct{}

func (relayWriter) Write(context.Context, *event.Block) (int, error) { return 0, nil }
func (relayWriter) Close() error                                     { return nil }

func (o *relay) Commands() []*cli.Command {
	return []*cli.Command{{
		Name: "relay", Usage: "ask the relay",
		Subcommands: []*cli.Command{{
			Name: "ping", Usage: "say whether the relay answers",
			Flags: append(o.login.Flags(o.Section(), "DNSMONSTER_RELAYUSERNAME", "DNSMONSTER_RELAYPASSWORD", "DNSMONSTER_RELAYPASSWORDFILE"),
				&cli.StringFlag{Name: "fail", Destination: &o.fail, Usage: "`HOW`"}),
			Action: func(c *cli.Context) error {
				fmt.Fprintf(c.App.Writer, "%s, checked: %v, ends at a signal: %v\n", o.login.Username, !o.Common.SkipVerify, c.Context.Done() != nil)
				switch err := errors.New("relayusername: nobody of this name"); o.fail {
				case "for good":
					return outputs.Permanent(err)
				case "now":
					return errors.New("nobody answers")
				}
				return nil
			},
		}, {
			Name: "purge", ArgsUsage: "NAME...", Usage: "remove queues",
			Action: func(c *cli.Context) error { fmt.Fprintln(c.App.Writer, "purged", c.Args().Slice()); return nil },
		}},
	}}
}

func withRelay() []outputs.Output { return append(all.New(), newRelay()) }

// relayRun runs a command line in a program that has the relay.
func relayRun(environ []string, args ...string) (out string, err error) {
	var b bytes.Buffer
	err = perform(appWith(withRelay, &b, &b), append([]string{"dnsmonster-sensor"}, args...), environ)
	return b.String(), err
}

// TestNewOutputIsFound: pages, completions and sample, which are made of the options, name
// it without a line of code about it.
func TestNewOutputIsFound(t *testing.T) {
	var names []string
	for _, f := range config.WithSecretFiles(newRelay().Flags()) {
		names = append(names, f.Names()[0])
	}
	app := appWith(withRelay, io.Discard, io.Discard)
	p, err := pages(app)
	if err != nil {
		t.Fatal(err)
	}
	var doc, sample bytes.Buffer
	config.Markdown(&doc, app.Name, p, config.Pending(outputNames(withRelay())))
	inv, err := invoke(app, []string{"x", "run"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	config.WriteINI(&sample, inv.values, false)
	f := func(what, text, form string) {
		t.Helper()
		for _, name := range names {
			if form := strings.ReplaceAll(form, "NAME", name); !regexp.MustCompile(form).MatchString(text) {
				t.Errorf("%s lacks %s (%s)", what, name, form)
			}
		}
	}
	f("the page", doc.String(), "(?m)^\\| `NAME` \\|.*DNSMONSTER_")
	f("the sample", sample.String(), "(?m)^;? ?NAME =")
	for _, page := range []string{"manpage", "bashcompletion", "fishcompletion", "zshcompletion"} {
		text, err := relayRun(nil, "--"+page)
		if err != nil {
			t.Fatal(err)
		}
		f(page, strings.ReplaceAll(text, `\-`, "-"), `\bNAME\b`)
		if !strings.Contains(text, "purge") {
			t.Errorf("%s lacks the command relay purge", page)
		}
	}
	text, err := relayRun(nil, "run", "--help", "relay")
	if err != nil {
		t.Fatal(err)
	}
	f("the help", text, "--NAME ")
	if !strings.Contains(doc.String(), "## [relay_output]") || !strings.Contains(doc.String(), "relay ping") {
		t.Error("the page lacks the section, or the command beside its options")
	}
}

// TestNewOutputIsChecked as all are: wrong values are named with their origin, secrets
// stay secret, and options without effect are named.
func TestNewOutputIsChecked(t *testing.T) {
	f := func(want string, environ []string, args ...string) {
		t.Helper()
		_, err := relayRun(environ, append([]string{"run", "--pcapfile=/no/such"}, args...)...)
		if err == nil || !slices.Contains(strings.Split(err.Error(), "\n"), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: error %v, want %s", args, err, want)
		}
	}
	const line = " (from the command line)"
	f("--relayoutputtype: 7 is not one of 0 to 4"+line, nil, "--relayoutputtype=7")
	f("relaybatchsize: must be at least 1, not 0 (from the environment variable DNSMONSTER_RELAYBATCHSIZE)", []string{"DNSMONSTER_RELAYBATCHSIZE=0"}, "--relayoutputtype=1")
	f(`--relayoutputformat: unknown format "xml": use one of json, text, json-flat, json-ocsf, csv, csv_no_header, gotemplate`+line, nil, "--relayoutputtype=1", "--relayoutputformat=xml")
	f("--relaycafile: open /nowhere: no such file or directory"+line, nil, "--relayoutputtype=1", "--relaycafile=/nowhere")
	f("--relaypassword: needs the user's name, too: set relayusername"+line, nil, "--relayoutputtype=1", "--relaypassword=hush")
	f("relaypasswordfile: open /nowhere: no such file or directory"+line, nil, "--relayoutputtype=1", "--relaypasswordfile=/nowhere")
	f("relaypassword: needs the user's name, too: set relayusername (from the environment variable DNSMONSTER_RELAYPASSWORD)", []string{"DNSMONSTER_RELAYPASSWORD=hush"}, "--relayoutputtype=1")
	f("--relayoutputendpoint: output relay is off: switch it on with --relayoutputtype=1"+line, nil, "--stdoutoutputtype=1", "--relayoutputendpoint=http://h")

	w := func(want string, args ...string) {
		t.Helper()
		inv, err := invoke(appWith(withRelay, io.Discard, io.Discard), append([]string{"x", "run"}, args...), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(config.Advice(inv.values), "; "); got != want {
			t.Errorf("%q: advice %q, want %q", args, got, want)
		}
	}
	w("relaycafile has no effect: output relay is off", "--relaycafile=x")
	w("relayoutputgotemplate has no effect: relayoutputformat is not gotemplate"+line, "--relayoutputtype=1", "--relayoutputgotemplate={{.DNS}}")
	w("relayoutputworkers has no effect: ordered means one worker, and one for each output"+line, "--relayoutputtype=1", "--ordered", "--pcapfile=x", "--relayoutputworkers=3")
	w("relaypassword: everybody on this machine can read the command line: use --relaypasswordfile, the environment or a file", "--relayoutputtype=1", "--relayusername=me", "--relaypassword=hush")

	// The checks of a file, and a reload, know the same outputs.
	dir := t.TempDir()
	capture, ini := packets.TempFile(t, packets.Queries(1)), filepath.Join(dir, "c.ini")
	if err := os.WriteFile(ini, []byte("[capture]\npcapfile = "+capture+"\n[relay_output]\nrelayoutputtype = 1\nrelayusername = me\nrelaypassword = hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := relayRun(nil, "config", "check", ini)
	if err != nil || !strings.Contains(text, "run would start with this file") || strings.Contains(text, "hush") {
		t.Errorf("config check: %v\n%s", err, text)
	}
}

// TestOutputCommands: the options that all commands of outputs have, and the exit status
// of their errors.
func TestOutputCommands(t *testing.T) {
	ini := filepath.Join(t.TempDir(), "c.ini")
	if err := os.WriteFile(ini, []byte("[relay_output]\nrelayusername = me\nrelayoutputtype = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(code int, want string, args ...string) {
		t.Helper()
		out, err := relayRun(nil, append([]string{"relay"}, args...)...)
		got := exitOK
		if err != nil {
			out += err.Error()
			var exit *exitError
			if got = exitUsage; errors.As(err, &exit) {
				got = exit.code
			}
		}
		if got != code || !strings.Contains(out, want) {
			t.Errorf("%q: exit status %d, %q; want %d, %q", args, got, out, code, want)
		}
	}
	f(exitUsage, "relay: use dnsmonster-sensor relay ping or purge")
	f(exitOK, ", checked: true, ends at a signal: true", "ping")
	f(exitOK, "me, checked: false", "ping", "--config", ini, "--skipTLSVerification")
	f(exitOK, "skiptlsverification: certificates are not checked", "ping", "--skiptlsverification")
	f(exitUsage, "relayusername: nobody of this name (from "+ini+" line 2)", "ping", "--config", ini, "--fail=for good")
	f(exitFailure, "nobody answers", "ping", "--fail=now")
	f(exitUsage, `relay ping takes no arguments: remove "x"`, "ping", "x")
	f(exitUsage, "relaypasswordfile: open /nowhere", "ping", "--relaypasswordfile=/nowhere")
	f(exitOK, "purged [a b]", "purge", "a", "b")
}

// TestBuiltOutputIsNotPending: this holds for each output.
func TestBuiltOutputIsNotPending(t *testing.T) {
	for _, f := range config.Pending(nil) {
		if f.Output != "" && slices.ContainsFunc(config.Pending([]string{f.Output}), func(g config.Feature) bool { return g.Output == f.Output }) {
			t.Errorf("%s is pending though it is built", f.Output)
		}
	}
}

// ruled are the names of options for secure connections that the manual does not have.
var ruled = regexp.MustCompile(`^(cafile|certfile|keyfile|username|password|token|apikey)(file)?$`)

// TestNamingRule: an option that dnsmonster's manual does not have is named after its
// output and its meaning.
func TestNamingRule(t *testing.T) {
	known := []string{"kafkasaslcredentials", "natsoutputtlscert", "natsoutputtlskey", "natsoutputtlsca", // newer than the manual
		"dnstapoutputcafile", "dnstapoutputcertfile", "dnstapoutputkeyfile"} // those without output are the input's
	for _, e := range manual(t) {
		known = append(known, e.Key)
	}
	security := regexp.MustCompile(`cert|\bca|cafile|key|user|pass|token|tls|auth|credential`)
	for _, o := range withRelay() {
		for _, f := range config.WithSecretFiles(o.Flags()) {
			name := f.Names()[0]
			kind, own := strings.CutPrefix(name, o.Name())
			switch {
			case !own:
				t.Errorf("--%s of the output %s does not start with its name", name, o.Name())
			case f.(cli.CategorizableFlag).GetCategory() != o.Name()+"_output":
				t.Errorf("--%s does not stand in [%s_output]", name, o.Name())
			case slices.Contains(known, name) || slices.Contains(known, strings.TrimSuffix(name, "file")):
			case security.MatchString(kind) && !ruled.MatchString(kind):
				t.Errorf("--%s: call it <output>cafile, certfile, keyfile, username, password, token or apikey", name)
			case strings.HasSuffix(kind, "format") && kind != "outputformat", strings.HasSuffix(kind, "template") && kind != "outputgotemplate":
				t.Errorf("--%s: call it %soutputformat or %soutputgotemplate", name, o.Name(), o.Name())
			}
		}
	}
}
