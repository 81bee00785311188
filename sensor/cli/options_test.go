//go:build linux

package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// values resolves a run command line in this process.
func values(args, environ []string) (*config.Values, error) {
	inv, err := invoke(newApp(io.Discard, io.Discard), append([]string{"dnsmonster-sensor"}, args...), environ)
	if err != nil {
		return nil, err
	}
	return inv.values, nil
}

// manual reads testdata/manual.ini: every option of dnsmonster's manual with its
// default.
func manual(t *testing.T) []config.Entry {
	t.Helper()
	f, err := config.ReadFile("testdata/manual.ini")
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Entries) < 120 {
		t.Fatalf("only %d options in the manual's list", len(f.Entries))
	}
	return f.Entries
}

// newer are defaults that dnsmonster changed after its manual was written.
var newer = map[string]string{"metricendpointtype": "stderr"}

// text is a value on one line. A list whose default in the manual is one empty text is
// an empty list here.
func text(v *config.Value) string { return strings.Join(v.Text, ",") }

// TestManualOnOneLine: some scripts pass every option of the manual.
func TestManualOnOneLine(t *testing.T) {
	args := []string{"run"}
	for _, e := range manual(t) {
		args = append(args, "--"+e.Key+"="+e.Value)
	}
	args = append(args, "--pcapfile="+packets.TempFile(t, packets.Queries(1)), "--stdoutoutputtype=1")
	program.Run(t, args...)
}

// TestManualDefaults: every option exists, in its section, with the manual's
// default and environment variable.
func TestManualDefaults(t *testing.T) {
	v, err := values([]string{"run"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range manual(t) {
		o := v.Get(e.Key)
		if o == nil {
			t.Errorf("%s: no such option", e.Key)
			continue
		}
		want := e.Value
		if n, ok := newer[e.Key]; ok {
			want = n
		}
		if text(o) != want || o.Section != e.Section || !slices.Contains(o.Env, "DNSMONSTER_"+strings.ToUpper(e.Key)) {
			t.Errorf("%s = %s in [%s], environment %v; want %s in [%s]", e.Key, text(o), o.Section, o.Env, want, e.Section)
		}
	}
	f := func(name, want string) {
		t.Helper()
		if o := v.Get(name); o == nil || text(o) != want {
			t.Errorf("%s = %+v, want %q", name, o, want)
		}
	}
	for _, name := range []string{
		"packethandlercount", "dedupcleanupinterval", "tcpassemblychannelsize", "tcpresultchannelsize", "tcphandlercount",
		"defraggerchannelsize", "defraggerchannelreturnsize", "packetchannelsize", "resultchannelsize", "clickhouseworkerchannelsize",
	} {
		if usage := v.Get(name).Usage; !strings.HasPrefix(strings.TrimPrefix(usage, "(not in this build) "), "accepted for compatibility, no effect") {
			t.Errorf("%s: %s", name, usage)
		}
	}
	// newer than the manual
	f("clickhousetable", "DNS_LOG")
	f("clickhouseusednstapidentity", "false")
	f("psqltable", "DNS_LOG")
	f("metricstderrformat", "json")
	f("victoriaoutputtype", "0")
	f("victoriaoutputendpoint", "")
	f("victoriaoutputproxy", "")
	f("victoriaoutputworkers", "8")
	f("victoriabatchsize", "100")
	f("victoriabatchdelay", "0s")
	f("natsoutputtype", "0")
	f("natsoutputserver", "nats://localhost:4222")
	f("natsoutputsubject", "dns.events")
	f("natsoutputtlscert", "")
	f("natsoutputtlskey", "")
	f("natsoutputtlsca", "")
	f("kafkasaslcredentials", "")
	f("skipdomainsfiletype", "")
	f("allowdomainsfiletype", "")
	if got := v.Get("psqlendpoint").Env; !slices.Equal(got, []string{"DNSMONSTER_PSQLENDPOINT", "DNSMONSTER_PSQLOUTPUTENDPOINT"}) {
		t.Errorf("psqlendpoint is read from %v", got)
	}
}

// TestOptionVariablesAreSpelledOut: a search of the sources for a variable's name finds
// the option.
func TestOptionVariablesAreSpelledOut(t *testing.T) {
	t.Parallel()
	var sources bytes.Buffer
	for _, dir := range []string{"..", "../../outputs"} {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			sources.Write(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	spelledOut := make(map[string]bool)
	text := sources.Bytes()
	for _, at := range regexp.MustCompile(`DNSMONSTER_[A-Z0-9_]+`).FindAllIndex(text, -1) {
		if isDelimiter := func(c byte) bool { return c == '"' || c == ' ' }; isDelimiter(text[at[0]-1]) && isDelimiter(text[at[1]]) {
			spelledOut[string(text[at[0]:at[1]])] = true
		}
	}
	v, err := values([]string{"run"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range v.All() {
		for _, env := range o.Env {
			if !spelledOut[env] {
				t.Errorf("%s: %s stands nowhere in the sources", o.Name, env)
			}
		}
		if o.Section != "" && len(o.Env) == 0 {
			t.Errorf("%s: no variable", o.Name)
		}
	}
}

// other is a value that the option does not have by default.
func other(o *config.Value) string {
	switch o.Kind {
	case config.Bool:
		return map[string]string{"true": "false", "false": "true"}[text(o)]
	case config.Duration, config.SwitchOrTime:
		return "1h2m3s"
	case config.Text:
		return "Some=text, with --Word"
	}
	return "7"
}

// TestEveryOptionFromEveryOrigin sets each option by flag, variable and file,
// names in another case where that is allowed, and compares the effective
// values as a table.
func TestEveryOptionFromEveryOrigin(t *testing.T) {
	defaults, err := values([]string{"run"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	n := 0
	for _, o := range defaults.All() {
		if o.Section == "" || o.SecretOf != "" {
			continue
		}
		n++
		want := other(&o)
		path := filepath.Join(dir, o.Name+".ini")
		key := strings.ToUpper(o.Name[:1]) + o.Name[1:len(o.Name)-1] + strings.ToUpper(o.Name[len(o.Name)-1:])
		if err := os.WriteFile(path, fmt.Appendf(nil, "[%s]\n%s = %s\n", strings.ToUpper(o.Section), key, want), 0o600); err != nil {
			t.Fatal(err)
		}
		f := func(origin string, args, environ []string) {
			t.Helper()
			v, err := values(append([]string{"run"}, args...), environ)
			if err != nil {
				t.Errorf("%s by %s: %v", o.Name, origin, err)
				return
			}
			for _, now := range v.All() {
				was := text(defaults.Get(now.Name))
				if now.Name == o.Name {
					was = want
				}
				if now.Section != "" && text(&now) != was {
					t.Errorf("%s=%s by %s: %s is %q, want %q", o.Name, want, origin, now.Name, text(&now), was)
				}
			}
		}
		f("flag", []string{"--" + key + "=" + want}, nil)
		if o.Kind != config.Bool && o.Kind != config.SwitchOrTime {
			f("flag and value", []string{"--" + key, want}, nil)
		}
		for _, e := range o.Env {
			f(e, nil, []string{e + "=" + want})
		}
		f("file", []string{"--config", path}, nil)
		if !strings.HasPrefix(o.Env[0], "DNSMONSTER_") || o.Env[0] != "DNSMONSTER_"+strings.ToUpper(o.Name) {
			t.Errorf("%s: environment %v", o.Name, o.Env)
		}
	}
	t.Logf("%d options", n)
}

// TestManualFile: a file with the whole list is a file that run takes.
func TestManualFile(t *testing.T) {
	v, err := values([]string{"--config=testdata/manual.ini"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range manual(t) {
		if o := v.Get(e.Key); text(o) != e.Value {
			t.Errorf("%s = %q, want %q", e.Key, text(o), e.Value)
		}
	}
	if len(v.Warnings) > 0 {
		t.Errorf("warnings %q", v.Warnings)
	}
}

// TestDefect23Values: a word with dashes inside a value is not an option.
func TestDefect23Values(t *testing.T) {
	const value = "--Word {{.DNS}} --STDOUT"
	for _, args := range [][]string{
		{"--stdoutOutputGoTemplate", value}, {"--stdoutOutputGoTemplate=" + value}, {"run", "--STDOUTOUTPUTGOTEMPLATE", value},
	} {
		v, err := values(args, nil)
		if err != nil || v.String("stdoutoutputgotemplate") != value {
			t.Errorf("%q: %v, want the value as it is", args, err)
		}
	}
}

// TestWrongValueBelow: a wrong value that a higher layer overrides does not stop the
// sensor, whatever its kind.
func TestWrongValueBelow(t *testing.T) {
	file := packets.TempFile(t, packets.Queries(10))
	p := program.New(t, nil, "replay", file, "--port=53", "--workers=1", "--grace=1s", "--dedup=false", "--speed=0", "--queuemb=8")
	for _, name := range []string{"PORT", "WORKERS", "GRACE", "DEDUP", "SPEED", "QUEUEMB"} {
		p.Cmd.Env = append(p.Cmd.Env, "DNSMONSTER_"+name+"=wrong")
	}
	p.Start()
	r := p.Wait(time.Minute)
	r.Expect(t, exitOK)
	if got := program.Count(t, p.RecordsFile).Total(); got != 10 || strings.Count(r.Log, "no effect, the command line overrides it") != 6 {
		t.Errorf("%d records, want 10, and 6 warnings:\n%s", got, r.Log)
	}
}

// TestServiceLinks: variables that Kubernetes sets for a service called dnsmonster do not
// stop the sensor, and are named once.
func TestServiceLinks(t *testing.T) {
	file := packets.TempFile(t, packets.Queries(10))
	for _, args := range [][]string{{"replay", file}, {"replay", file, "--port=53"}, {"--pcapfile=" + file, "--stdoutoutputtype=1"}} {
		p := program.New(t, nil, args...)
		p.Cmd.Env = append(p.Cmd.Env, "DNSMONSTER_SERVICE_HOST=10.96.0.12", "DNSMONSTER_SERVICE_PORT=8080", "DNSMONSTER_PORT=tcp://10.96.0.12:8080",
			"DNSMONSTER_PORT_8080_TCP=tcp://10.96.0.12:8080", "DNSMONSTER_PORT_8080_TCP_PROTO=tcp", "DNSMONSTER_PORT_8080_TCP_PORT=8080", "DNSMONSTER_PORT_8080_TCP_ADDR=10.96.0.12")
		p.Start()
		r := p.Wait(time.Minute)
		r.Expect(t, exitOK)
		if got := program.Count(t, p.RecordsFile).Total(); got != 10 {
			t.Errorf("%q: %d records, want 10", args, got)
		}
		if n := strings.Count(r.Log, "DNSMONSTER_"); n != 7 || strings.Count(r.Log, "Kubernetes") != 1 {
			t.Errorf("%q: %d names of variables, want each of the 7 once, in one line:\n%s", args, n, r.Log)
		}
	}
}
