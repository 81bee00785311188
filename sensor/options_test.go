package sensor

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/all"
	"dnsmonster-sensor/sensor/config"
)

var update = flag.Bool("update", false, "write the generated files again")

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

// lists whose manual default is one empty text are empty lists here.
func text(v *config.Value) string { return strings.Join(v.Text, ",") }

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
		if usage := v.Get(name).Usage; !strings.HasPrefix(usage, "accepted for compatibility, no effect") {
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

// TestOptionVariablesAreSpelledOut: whoever searches the sources for a variable's
// name finds the option.
func TestOptionVariablesAreSpelledOut(t *testing.T) {
	var sources bytes.Buffer
	for _, dir := range []string{".", "../outputs"} {
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
	v, err := values([]string{"run"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text := sources.String()
	for _, o := range v.All() {
		for _, env := range o.Env {
			if !regexp.MustCompile(`[" ]` + env + `[" ]`).MatchString(text) {
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
	case config.Duration:
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
		if o.Kind != config.Bool {
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

// wrongValues are values of the right form that an option cannot have, separated
// by spaces. An output's options are tried with the output switched on.
var wrongValues = map[string]string{
	"csvip":                       "hex",
	"capturestatsdelay":           "0s -1s",
	"decap":                       "vlan vxlan,",
	"dedupwindow":                 "0s",
	"defragmb":                    "0 -1 65537",
	"fileoutputcompress":          "rar",
	"fileoutputformat":            "xml",
	"fileoutputrotatecount":       "-1",
	"fileoutputrotatecron":        "midnight",
	"fileoutputtype":              "5 -1",
	"fileoutputworkers":           "0 -1",
	"filter":                      "wrong",
	"domainmatch":                 "suffix",
	"skipdomainsfile":             "ftp://h/x http:///x",
	"skipdomainsrefreshinterval":  "1ms -1s",
	"allowdomainsfile":            "ftp://h/x http:///x",
	"allowdomainsrefreshinterval": "1ms -1s",
	"fragmentquota":               "-1 10000001",
	"gctime":                      "0s -1s",
	"gomaxprocs":                  "0 -2",
	"grace":                       "-1s",
	"jsonfields":                  "speed interface,speed",
	"logformat":                   "xml",
	"loglevel":                    "5",
	"malformed":                   "keep",
	"masksize4":                   "-1 33",
	"masksize6":                   "-1 129",
	"metricendpointtype":          "graphite",
	"metricflushinterval":         "0s -1s",
	"metricprometheusendpoint":    "2112 https://h:1/m http://h/m",
	"metricstatsdagent":           "localhost :8125",
	"metricstderrformat":          "xml",
	"mode":                        "afxdp",
	"port":                        "0 -1 65536",
	"psqlbatchdelay":              "-1s",
	"psqlbatchsize":               "0 -1",
	"psqlbatchtimeout":            "0s -1s",
	"psqlendpoint":                "postgres://h:x/ mysql://h/",
	"psqloutputtype":              "5 -1",
	"psqltable":                   "a.b.c a-b",
	"psqlworkers":                 "0 -1",
	"queuemb":                     "1048577",
	"ringmb":                      "0 3 2048",
	"samplemode":                  "random",
	"sampleratio":                 "1 0:1 3:2 a:b 1:0 -1:2",
	"snaplen":                     "-1 63 65536",
	"speed":                       "-1 NaN Inf",
	"spoolmb":                     "7",
	"spoolmode":                   "never always",
	"stats":                       "1ms -1s",
	"stdoutoutputformat":          "xml",
	"stdoutoutputtype":            "5 -1",
	"stdoutoutputworkercount":     "0 -1",
	"tcpmb":                       "0 -1 65537",
	"timezone":                    "Mars/Olympus",
	"tunnelport":                  "vxlan gre:47 vxlan:0 vxlan:53",
	"workers":                     "-1 65",
}

// anyText are options that can have every text, by what they ask for.
var anyText = []string{"FILE", "FOLDER", "INTERFACE", "NAME"}

// misfits are values that an option's kind rules out.
func misfits(o *config.Value) []string {
	switch o.Kind {
	case config.Bool:
		return []string{"7x"}
	case config.Duration:
		return []string{"5", "soon"}
	case config.Text:
		return nil
	case config.Float:
		return []string{"7x", "1,2"}
	}
	return []string{"7x", "1,2", "0x10", "99999999999999999999"}
}

// TestWrongOptionValuesAreNamed: for every option, an error names it and where
// its value came from, before anything is opened.
func TestWrongOptionValuesAreNamed(t *testing.T) {
	defaults, err := values([]string{"run"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	n := 0
	for _, o := range defaults.All() {
		bad := append(misfits(&o), strings.Fields(wrongValues[o.Name])...)
		if o.Section == "" || o.Hidden || len(bad) == 0 && (slices.Contains(anyText, o.Word) || missing(&o)) {
			continue
		}
		switch {
		case strings.HasSuffix(o.Name, "gotemplate"):
			bad = []string{"{{.Nothing"}
		case len(bad) == 0:
			t.Errorf("%s: what can it not be? Say so in wrongValues, or by its placeholder in anyText", o.Name)
		}
		for _, value := range bad {
			n++
			path := filepath.Join(dir, o.Name)
			if err := os.WriteFile(path, fmt.Appendf(nil, "\n[%s]\n%s = %s\n", o.Section, o.Name, value), 0o600); err != nil {
				t.Fatal(err)
			}
			f := func(origin string, args, environ []string) {
				t.Helper()
				args = append([]string{"dnsmonster-sensor", "run", "--pcapfile=/no/such/file"}, args...)
				if output, ok := strings.CutSuffix(o.Section, "_output"); ok && !missing(&o) && !strings.HasSuffix(o.Name, "outputtype") {
					args = append(args, "--"+output+"outputtype=1")
				}
				if output, ok := strings.CutSuffix(o.Name, "gotemplate"); ok {
					args = append(args, "--"+output+"format=gotemplate")
				}
				if o.Name != "psqlendpoint" {
					args = append(args, "--psqlendpoint=postgres://h/d")
				}
				err := perform(newApp(io.Discard, io.Discard), args, environ)
				if err == nil || !slices.ContainsFunc(strings.Split(err.Error(), "\n"), func(line string) bool {
					return strings.Contains(line, o.Name) && strings.Contains(line, origin)
				}) || strings.Contains(err.Error(), "/no/such") {
					t.Errorf("%s=%s: error %v, want the option and %q", o.Name, value, err, origin)
				}
			}
			f("from the command line", []string{"--" + o.Name + "=" + value}, nil)
			f("from the environment variable "+o.Env[0], nil, []string{o.Env[0] + "=" + value})
			f("from "+path+" line 3", []string{"--config=" + path}, nil)
		}
	}
	t.Logf("%d values", n)
}

// missing tells whether the option is one of a feature that this build lacks,
// which checks no values, since it uses none.
func missing(o *config.Value) bool {
	var built []string
	for _, o := range all.New() {
		built = append(built, o.Name())
	}
	return slices.ContainsFunc(config.Flags(config.Pending(built)), func(f cli.Flag) bool { return f.Names()[0] == o.Name })
}

// TestFixedValues: options with a fixed set of values take all of it.
func TestFixedValues(t *testing.T) {
	for option, list := range map[string]string{
		"clickhousecompress":   "0 1 2 3 4 5 6 7 8 9",
		"csvip":                "integer text uint128",
		"fileoutputformat":     "json csv csv_no_header gotemplate json-ocsf",
		"kafkacompressiontype": "snappy gzip lz4 zstd",
		"kafkaoutputformat":    "json gob",
		"logformat":            "text json",
		"loglevel":             "0 1 2 3 4",
		"malformed":            "record drop",
		"metricstderrformat":   "json kv",
		"mode":                 "auto tcx clsact xdp",
		"samplemode":           "packet flow",
		"spoolmode":            "overflow",
		"stdoutoutputformat":   "json csv csv_no_header gotemplate json-ocsf json-flat",
	} {
		for value := range strings.FieldsSeq(list) {
			args := []string{"dnsmonster-sensor", "--pcapfile=/no/such", "--stdoutoutputtype=1", "--metricendpointtype=", "--" + option + "=" + value}
			if err := perform(newApp(io.Discard, io.Discard), args, nil); err == nil || !strings.HasPrefix(err.Error(), "--pcapfile: stat /no/such") {
				t.Errorf("%s=%s: error %v, want that of the file alone", option, value, err)
			}
		}
	}
}

// TestChecksOfOptions: values of the right form that cannot be.
func TestChecksOfOptions(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		err := perform(newApp(io.Discard, io.Discard), append([]string{"dnsmonster-sensor"}, args...), nil)
		if err == nil || !slices.Contains(strings.Split(err.Error(), "\n"), want) {
			t.Errorf("%q: error %v, want %s", args, err, want)
		}
	}
	const line = " (from the command line)"
	f("no input: set --devname or --pcapfile (see dnsmonster-sensor --help)")
	f("--devname and --pcapfile are both set: use one (from the command line)", "--devName=lo", "--pcapFile=x")
	f(`run takes no arguments: what is "eth0"? An interface is --devname=eth0, a capture file --pcapfile=eth0`, "run", "eth0")
	f(`what is "true"? A truth value is written --name=true`, "--dedup", "true")
	f(`what is "false"? A truth value is written --name=false`, "run", "--dedup", "false")
	f(`port: "53,54" is not a whole number: repeat the option for several (from the command line)`, "--port=53,54")
	f("--port 0: a port is a number from 1 to 65535"+line, "--port=0", "--pcapfile=x")
	f("--masksize4 33: use 0 to 32"+line, "--masksize4=33", "--pcapfile=x")
	f("--masksize6 -1: use 0 to 128"+line, "--maskSize6", "-1", "--pcapfile=x")
	f("--loglevel 5: use 0 to 4"+line, "--loglevel=5", "--pcapfile=x")
	f("--gomaxprocs 0: use -1 for all, or 1 and more"+line, "--gomaxprocs=0", "--pcapfile=x")
	f("--queuemb 2000000: use 0 to 1048576"+line, "--queuemb=2000000", "--pcapfile=x")
	f("--spoolmb 7: use 8 to 1048576"+line, "--spoolmb=7", "--pcapfile=x")
	f(`--spoolmode "never": use overflow or always`+line, "--spoolmode=never", "--pcapfile=x")
	f("--spoolmode always: needs a folder, --spooldir"+line, "--spoolmode=always", "--pcapfile=x")
	f("--gctime 0s: at least 1ms"+line, "--gctime=0s", "--pcapfile=x")
	f("--capturestatsdelay 0s: at least 10ms"+line, "--capturestatsdelay=0s", "--pcapfile=x")
	f("--metricflushinterval 0s: at least 100ms"+line, "--metricflushinterval=0s", "--pcapfile=x")
	f("--metricstatsdagent: needed for --metricendpointtype=statsd, such as 127.0.0.1:8125 (from the default)", "--metricendpointtype=statsd", "--pcapfile=x")
	f(`--metricprometheusendpoint "https://x:1": use a URL such as http://127.0.0.1:2112/metrics`+line, "--metricprometheusendpoint=https://x:1", "--pcapfile=x")
	f(`--sampleratio: "0:1" would keep nothing`+line, "--sampleratio=0:1", "--pcapfile=x")
	f("--config: open /no/such: no such file or directory"+line, "--config=/no/such")
	f("--writeconfig: open /no/such: no such file or directory"+line, "--writeconfig=/no/such")
	f("--cpuprofile: open /no/such: no such file or directory"+line, "--cpuprofile=/no/such", "--pcapfile=x", "--stdoutoutputtype=1")
	f("--memprofile: open /no/such: no such file or directory"+line, "--memprofile=/no/such", "--pcapfile=x", "--stdoutoutputtype=1")
	f("--devname is not an option of attach", "attach", "lo", "--devname=x")
	f("--mode is not an option of replay", "replay", "x.pcap", "--mode=xdp")
	f("config check: name one configuration file", "config", "check")
	f("config: use dnsmonster-sensor config check FILE", "config")
}

// TestAllThatIsWrongIsNamed, and not only the first thing.
func TestAllThatIsWrongIsNamed(t *testing.T) {
	var out, log bytes.Buffer
	code := Main([]string{"dnsmonster-sensor", "--loglevel=9", "--sampleratio=2:1", "--ringmb=3", "--stdoutoutputformat=xml", "--metricformat=xml"}, &out, &log)
	if code != exitUsage || strings.Count(log.String(), "\n") != 6 {
		t.Errorf("exit status %d, want %d and 6 lines:\n%s", code, exitUsage, log.String())
	}
	for _, want := range []string{"--loglevel 9: ", "--sampleratio: ", "--ringmb 3: ", "stdoutoutputformat: ", `--metricstderrformat "xml": `, "no input: "} {
		if !strings.Contains(log.String(), "dnsmonster-sensor: "+want) {
			t.Errorf("lacks %q:\n%s", want, log.String())
		}
	}
}

// TestWarningsBesideErrors: a variable's name that is mistyped may be why another
// is missed.
func TestWarningsBesideErrors(t *testing.T) {
	const want = "warning: unknown environment variable DNSMONSTER_STDOUTOUTPUTTYP: did you mean DNSMONSTER_STDOUTOUTPUTTYPE?"
	for _, args := range [][]string{{"x", "--pcapfile=x"}, {"x", "--pcapfile=x", "--loglevel=y"}} {
		err := perform(newApp(io.Discard, io.Discard), args, []string{"DNSMONSTER_STDOUTOUTPUTTYP=1"})
		if err == nil || strings.Count(err.Error(), want) != 1 {
			t.Errorf("%q: error %v, want %s", args, err, want)
		}
	}
}

// TestWhatIsMissing: an option of a pending feature is accepted, refused where it
// switches the feature on, and gone from the table once its output is built.
func TestWhatIsMissing(t *testing.T) {
	var built []string
	for _, o := range all.New() {
		built = append(built, o.Name())
	}
	if all, without := config.Pending(nil), config.Pending(built); len(all) != len(without) {
		t.Errorf("an output in outputs/all still stands in sensor/config/pendingoutputs.go: take it out there")
	}
	pending := config.Pending(built)
	for _, f := range pending {
		t.Logf("missing: %s", f.Name)
	}
	f := func(name, option, value string) {
		t.Helper()
		if !slices.ContainsFunc(pending, func(f config.Feature) bool { return f.Name == name }) {
			return
		}
		err := perform(newApp(io.Discard, io.Discard), []string{"dnsmonster-sensor", "--pcapfile=/no/such", "--" + option + "=" + value}, nil)
		want := fmt.Sprintf("%s: not in this build yet; %s=%s is set (from the command line)", name, option, value)
		if err == nil || !slices.Contains(strings.Split(err.Error(), "\n"), want) {
			t.Errorf("%s=%s: error %v, want %s", option, value, err, want)
		}
	}
	for _, p := range pending {
		if p.Output != "" {
			f(p.Name, p.Output+"outputtype", "1")
		}
	}
	f("dnstap input", "dnstapsocket", "unix:///x")
	f("capture filter", "filter", "udp")
	f("AF_PACKET capture", "useafpacket", "true")
}

// randomValue is one that the option's form allows.
func randomValue(r *rand.Rand, o *config.Value) string {
	switch o.Kind {
	case config.Bool:
		return fmt.Sprint(r.IntN(2) == 0)
	case config.Duration:
		return fmt.Sprintf("%dms", r.IntN(1e7))
	case config.Text:
		const alphabet = `ab =;#"'\[]{}:,/	ü€` + "\n\r\x00\x7f\ufeff"
		runes := []rune(alphabet)
		b := new(strings.Builder)
		for range r.IntN(12) {
			b.WriteRune(runes[r.IntN(len(runes))])
		}
		return b.String()
	}
	return fmt.Sprint(r.IntN(1e6))
}

// TestRandomConfigurationsSurviveWriting: what --writeconfig writes is read again
// as the same values, and so is what is written from those.
func TestRandomConfigurationsSurviveWriting(t *testing.T) {
	defaults, err := values([]string{"run"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	for i := range 1000 {
		args := []string{"run", "--writesecrets"}
		for _, o := range defaults.All() {
			if o.Section == "" || o.SecretOf != "" || r.IntN(4) > 0 {
				continue
			}
			times := 1
			if o.List {
				times += r.IntN(3)
			}
			for range times {
				args = append(args, "--"+o.Name+"="+randomValue(r, &o))
			}
		}
		want, err := values(args, nil)
		if err != nil {
			t.Fatalf("%q: %v", args, err)
		}
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := perform(newApp(io.Discard, io.Discard), append([]string{"x"}, append(args, "--writeconfig="+path)...), nil); err != nil {
			t.Fatal(err)
		}
		got, err := values([]string{"run", "--config", path}, nil)
		if err != nil {
			t.Fatalf("%v", err)
		}
		for _, o := range want.All() {
			if now := got.Get(o.Name); o.Section != "" && !slices.Equal(now.Text, o.Text) {
				t.Fatalf("run %d: %s = %q was written and read as %q", i, o.Name, o.Text, now.Text)
			}
		}
		var first, second bytes.Buffer
		config.WriteINI(&first, got, true)
		again, err := config.Read("again", bytes.NewReader(first.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if len(again.Entries) == 0 {
			t.Fatal("nothing is written")
		}
		config.WriteINI(&second, want, true)
		if first.String() != second.String() {
			t.Fatalf("run %d: what is written changes", i)
		}
	}
}

// TestWriteConfigKeepsSecrets, unless asked; and a file with secrets is its
// owner's alone.
func TestWriteConfigKeepsSecrets(t *testing.T) {
	f := func(mode os.FileMode, holds bool, args ...string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "c.ini")
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"x", "run", "--zincoutputpassword=hush", "--writeconfig=" + path}, args...)
		var log bytes.Buffer
		if err := perform(newApp(io.Discard, &log), args, nil); err != nil {
			t.Fatal(err)
		}
		if text := log.String(); !strings.Contains(text, "wrote "+path+"\n") || strings.Contains(text, "left out, since they are secret: zincoutputpassword;") == holds || strings.Contains(text, "hush") {
			t.Errorf("%q says:\n%s", args, text)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("hush")) != holds || st.Mode().Perm() != mode {
			t.Errorf("%q: holds the secret %v, want %v; mode %o, want %o", args, !holds, holds, st.Mode().Perm(), mode)
		}
	}
	f(0o644, false)
	f(0o600, true, "--writesecrets")
}

// TestPasswordsAreSecret: what is called so is kept so.
func TestPasswordsAreSecret(t *testing.T) {
	v, err := values([]string{"run"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, o := range v.All() {
		named := regexp.MustCompile("password|token|secret|credential|sharedkey|apikey|psqlendpoint").MatchString(o.Name) && o.SecretOf == "" && o.Section != ""
		if named != o.Secret {
			t.Errorf("%s: secret %v, want %v", o.Name, o.Secret, named)
		}
		if !o.Secret {
			continue
		}
		n++
		for _, secret := range []string{"hush", "postgres://user:hush@h:x/", `"hush`} {
			for _, args := range [][]string{
				{"run", "--" + o.Name + "=" + secret, "--pcapfile=/no/such", "--loglevel=9", "--" + strings.TrimSuffix(o.Section, "_output") + "outputtype=1"},
				{"replay", "--" + o.Name, secret, "/no/such", "--psqloutputtype=1"},
			} {
				var out, log bytes.Buffer
				if code := Main(append([]string{"x"}, args...), &out, &log); code != exitUsage || strings.Contains(out.String()+log.String(), "hush") {
					t.Errorf("%q: exit status %d, and it says\n%s%s", args, code, out.String(), log.String())
				}
			}
		}
		if file := v.Get(o.Name + "file"); file == nil || file.SecretOf != o.Name || !slices.Equal(file.Env, []string{o.Env[0] + "FILE"}) {
			t.Errorf("%s: no option for a file with it, or without its variable: %+v", o.Name, file)
		}
	}
	if n < 7 {
		t.Errorf("%d secrets, want at least those of dnsmonster's manual", n)
	}
}

// TestLogMasksSecrets that others have put into texts and errors.
func TestLogMasksSecrets(t *testing.T) {
	v, err := values([]string{"run", "--zincoutputpassword=hush/hush", "--influxoutputtoken=abc"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"text", "json"} {
		var b bytes.Buffer
		log, _ := (&processOptions{level: 3, format: format}).logger(&b, v.Mask)
		log.With("url", "http://x:hush/hush@h/").Error("login hush/hush", "error", fmt.Errorf("401: %w", errors.New("hush/hush")), "wait", time.Second, "token", "abcd")
		got := b.String()
		if strings.Contains(got, "hush") || strings.Count(got, "********") != 3 || !strings.Contains(got, "abcd") {
			t.Errorf("%s: %s", format, got)
		}
	}
}

// TestConfigCheck shows values, origins, what is wrong and what differs.
func TestConfigCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dnsmonster.ini")
	f := func(file string, ok bool, wants ...string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		err := checkConfig(&out, path, []string{"DNSMONSTER_SERVERNAME=s1"})
		if (err == nil) != ok {
			t.Errorf("%q: error %v", file, err)
		}
		flat := strings.Join(strings.Fields(out.String()), " ")
		for _, want := range append(wants, "servername = s1 ; environment variable DNSMONSTER_SERVERNAME") {
			if !strings.Contains(flat, want) {
				t.Errorf("%q: lacks %q:\n%s", file, want, out.String())
			}
		}
		if strings.Contains(out.String(), "hush") {
			t.Errorf("shows a secret:\n%s", out.String())
		}
	}
	f("[capture]\ndevname = lo\n[stdout_output]\nstdoutoutputtype = 1\n[zinc_output]\nzincoutputpassword = hush\n", true,
		"devname = lo ; "+path+" line 2", "zincoutputpassword = ******** ; ", "run would start with this file")
	f("pcapfile = x\nsampleratio = 1:2\nstdoutoutputtype = 1\n[metric]\nmetricformat = kv\n", true,
		"differs: sampleratio: ", "differs: [metric]: is obeyed; dnsmonster ignored this section of a file")
	f("[capture]\ndevname = lo\nprot = 53\n[general]\nloglevel = 9\n", false, "error: "+path+" line 3: unknown key prot: did you mean port?",
		"error: --loglevel 9: use 0 to 4 (from "+path+" line 5)", "error: no output is switched on")
	f("devname = lo\nloglevel = 9\nservername = s0", false, "error: --loglevel 9: use 0 to 4 (from "+path+" line 2)", "error: no output is switched on",
		"warning: the environment variable DNSMONSTER_SERVERNAME overrides servername")
}

// TestConfigCheckTakesTheExample of docs/configuration.md.
func TestConfigCheckTakesTheExample(t *testing.T) {
	dir := t.TempDir()
	example := strings.ReplaceAll(config.Example, "/etc/dnsmonster-sensor/", dir+"/")
	for name, content := range map[string]string{"c.ini": example, "postgres": "postgres://sensor:hush@db.example.org/dns\n", "skip.csv": "example.org,suffix\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := checkConfig(&out, filepath.Join(dir, "c.ini"), nil); err != nil || strings.Contains(out.String(), "warning:") || strings.Contains(out.String(), "hush") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// TestConfigCheckNamesChanges: each of the contract's decisions that a file
// touches, and none that it does not.
func TestConfigCheckNamesChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dnsmonster.ini")
	named := func(file string) string {
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		checkConfig(&out, path, nil) // outputs that are not in this build yet are errors, and named all the same
		var list []string
		for line := range strings.Lines(out.String()) {
			if text, ok := strings.CutPrefix(line, "differs: "); ok {
				what, _, _ := strings.Cut(text, ": ")
				list = append(list, what)
			}
		}
		return strings.Join(list, "; ")
	}
	const always = "malformed messages; TCP; tunnels"
	f := func(file, want string) {
		t.Helper()
		if got := named("pcapfile = x\n" + file); got != strings.Trim(always+"; "+want, "; ") {
			t.Errorf("%q: differs %s, want %s; %s", file, got, always, want)
		}
	}
	if got := named("servername = x"); got != "" {
		t.Errorf("a file without input: differs %s", got)
	}
	f("", "")
	f("malformed = record\nfilter = ((ip and (ip[9]==6 or ip[9] == 17)) or (ip6 and (ip6[6] == 17 or ip6[6] == 6 or ip6[6] == 44)))", "")
	for _, c := range []struct{ file, want string }{
		{"devname = lo\npcapfile =\ntimezone = local", ""},
		{"devname = lo\npcapfile =", "timestamps"},
		{"stdoutoutputtype = 1", "JSON"},
		{"stdoutoutputtype = 1\nstdoutoutputformat = csv", "CSV; rows"},
		{"stdoutoutputtype = 1\nstdoutoutputformat = gotemplate", ""},
		{"stdoutoutputtype = 1\nstdoutoutputformat = json-ocsf", "OCSF"},
		{"stdoutoutputtype = 0\nstdoutoutputformat = csv", ""},
		{"clickhouseoutputtype = 1", "rows; clickhousedelay; ClickHouse tables"},
		{"clickhouseoutputtype = 1\nclickhousedelay = 5s", "rows; ClickHouse tables"},
		{"elasticoutputtype = 1", "JSON; Elastic"},
		{"fileoutputtype = 1\nfileoutputformat = csv", "CSV; rows; fileoutputpath; CSV files"},
		{"fileoutputtype = 1\nfileoutputformat = csv_no_header", "CSV; rows; fileoutputpath"},
		{"influxoutputtype = 1", "rows; Influx"},
		{"kafkaoutputtype = 1\nkafkaoutputformat = gob", ""},
		{"kafkaoutputtype = 1", "JSON"},
		{"natsoutputtype = 1", "NATS"},
		{"parquetoutputtype = 1", "rows; parquetoutputpath"},
		{"psqloutputtype = 1", "rows; psqlbatchdelay; psqlbatchsize; PostgreSQL tables; PostgreSQL batches"},
		{"sentineloutputtype = 1\nsentineloutputcustomerid = x", "sentinelbatchdelay; sentineloutputsharedkey, sentineloutputcustomerid"},
		{"splunkoutputtype = 1", "JSON; Splunk"},
		{"syslogoutputtype = 1", "JSON"},
		{"victoriaoutputtype = 1", "OCSF; victoriabatchdelay"},
		{"zincoutputtype = 1", "JSON"},
		{"stdoutoutputtype = 2\nskipdomainsfile = x", "JSON; skipdomainsfile, allowdomainsfile; output types 2, 3 and 4"},
		{"packetlimit = 5\nskiptlsverification =", "packetlimit; skiptlsverification"},
		{"[metric]\nmetricflushinterval = 1s", "[metric]"},
		{"[metric]\nmetricendpointtype = prometheus\nmetricprometheusendpoint = http://:1/m", "[metric]; metric names"},
		{"[metric]\nmetricstatsdagent = localhost:8125\nmetriclegacynames = true", "[metric]; metric endpoints"},
	} {
		f(c.file, c.want)
	}
	input := func(file, want string) {
		t.Helper()
		if got := named("pcapfile = x\n" + file); got != want+"; "+always {
			t.Errorf("%q: differs %s, want %s; %s", file, got, want, always)
		}
	}
	input("filter = udp", "filter")
	input("sampleratio = 1:2", "sampleratio")
	input("noetherframe =", "noetherframe")
	input("dedup = true", "dedup")
	input("gctime = 3s", "gctime")
	input("masksize4 = 24", "masksize4, masksize6")
	if got := named("masksize4 = 24\nmaskecs = false"); got != "" {
		t.Errorf("masks as before: differs %s", got)
	}
	if got := named("dnstapsocket = unix:///x"); got != "dnstapsocket" {
		t.Errorf("dnstap: differs %s", got)
	}
}

// TestDefect19NoOutput: v1.2.5 ended with an error, and later ones read
// everything for nobody. Other commands write to stdout then.
func TestDefect19NoOutput(t *testing.T) {
	file := write(t, queries(10))
	for _, args := range [][]string{{"--pcapfile=" + file}, {"run", "--pcapfile", file}} {
		p := start(t, nil, args...)
		r := p.wait(time.Minute)
		if r.code != exitUsage || !strings.Contains(r.log, "no output is switched on") {
			t.Errorf("%q: exit status %d, want %d and the reason:\n%s", args, r.code, exitUsage, r.log)
		}
		if got := count(t, p.records).total(); got != 0 {
			t.Errorf("%q: %d records", args, got)
		}
	}
	p := start(t, nil, "replay", file)
	p.wait(time.Minute).expect(t, exitOK)
	if got := count(t, p.records).total(); got != 10 {
		t.Errorf("replay without an output writes %d records, want 10", got)
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

// TestGeneratedFiles are as fresh as the declarations.
func TestGeneratedFiles(t *testing.T) {
	app := newApp(io.Discard, io.Discard)
	p, err := pages(app)
	if err != nil {
		t.Fatal(err)
	}
	var built []string
	for _, o := range all.New() {
		built = append(built, o.Name())
	}
	var doc, sample bytes.Buffer
	config.Markdown(&doc, app.Name, p, config.Pending(built))
	v, err := values([]string{"run"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	config.WriteINI(&sample, v, false)
	for path, want := range map[string][]byte{
		"../docs/configuration.md": doc.Bytes(), "../packaging/config-sample.ini": sample.Bytes(), "../MIGRATING.md": migrating(t),
	} {
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is stale (%v): run go generate ./sensor", path, err)
		}
	}
}

// migrating is MIGRATING.md with a fresh table of changes.
func migrating(t *testing.T) []byte {
	t.Helper()
	page, err := os.ReadFile("../MIGRATING.md")
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := bytes.Cut(page, []byte("<!-- changes:"))
	comment, rest, ok2 := bytes.Cut(rest, []byte("-->\n"))
	_, tail, ok3 := bytes.Cut(rest, []byte("<!-- end of changes -->\n"))
	if !ok1 || !ok2 || !ok3 {
		t.Fatal("MIGRATING.md has no place for the table of changes")
	}
	b := bytes.NewBuffer(slices.Concat(head, []byte("<!-- changes:"), comment, []byte("-->\n\n")))
	config.ChangesTable(b)
	return slices.Concat(b.Bytes(), []byte("\n<!-- end of changes -->\n"), tail)
}
