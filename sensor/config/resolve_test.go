package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/secure"
)

func testOptions(t *testing.T) []Option {
	t.Helper()
	list, err := FromFlags(WithSecretFiles([]cli.Flag{
		&cli.IntSliceFlag{Category: "capture", Name: "port", EnvVars: []string{"DNSMONSTER_PORT"}, Value: cli.NewIntSlice(53)},
		&cli.StringFlag{Category: "capture", Name: "devname", EnvVars: []string{"DNSMONSTER_DEVNAME"}},
		&cli.BoolFlag{Category: "capture", Name: "dedup", EnvVars: []string{"DNSMONSTER_DEDUP"}},
		&cli.StringSliceFlag{Category: "kafka_output", Name: "kafkaoutputbroker", EnvVars: []string{"DNSMONSTER_KAFKAOUTPUTBROKER"}},
		&outputs.SecretFlag{FileEnv: "DNSMONSTER_KAFKAPASSWORDFILE", StringFlag: cli.StringFlag{Category: "kafka_output", Name: "kafkapassword", EnvVars: []string{"DNSMONSTER_KAFKAPASSWORD"}}},
		&cli.StringFlag{Category: "kafka_output", Name: "kafkatlskeypath", EnvVars: []string{"DNSMONSTER_KAFKATLSKEYPATH"}, Usage: "`" + secure.KeyPlaceholder + "` with the key"},
		&cli.DurationFlag{Category: "general", Name: "gctime", EnvVars: []string{"DNSMONSTER_GCTIME"}, Value: 10 * time.Second},
		&cli.UintFlag{Category: "general", Name: "loglevel", EnvVars: []string{"DNSMONSTER_LOGLEVEL"}, Value: 3},
		&cli.StringFlag{Category: "general", Name: "old", EnvVars: []string{"DNSMONSTER_OLD"}, Hidden: true},
		&cli.StringFlag{Category: "metric", Name: "metricstderrformat", Aliases: []string{"metricformat"}, Value: "json",
			EnvVars: []string{"DNSMONSTER_METRICSTDERRFORMAT", "DNSMONSTER_METRICFORMAT"}},
		&cli.StringFlag{Name: "config", EnvVars: []string{"DNSMONSTER_CONFIG"}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// commandsWith returns a command run with these options.
func commandsWith(options []Option) []*cli.Command {
	c := &cli.Command{Name: "run"}
	for _, o := range options {
		if o.Kind == Bool {
			c.Flags = append(c.Flags, &cli.BoolFlag{Name: o.Name, Aliases: o.Aliases})
		} else {
			c.Flags = append(c.Flags, &cli.StringFlag{Name: o.Name, Aliases: o.Aliases})
		}
	}
	return []*cli.Command{c}
}

// resolved resolves options from three origins and returns one option's value, or the
// error.
func resolved(t *testing.T, name, line, environ, file string) (*Values, string) {
	t.Helper()
	in := Input{Command: "run", Options: testOptions(t)}
	known := append(in.Options, Option{Name: "servername1", Section: "capture"}, Option{Name: "servername2", Section: "general"}, Option{Name: "pcapfile", Section: "capture", Env: []string{"DNSMONSTER_PCAPFILE"}, Default: []string{""}})
	in.Known = func() []Option { return known }
	in.Line = ParseLine(strings.Fields(line), commandsWith(in.Options)).Given
	in.Environ = strings.Split(environ, "|")
	if file != "" {
		f, err := Read("x.ini", strings.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		in.File = f
	}
	v, err := Resolve(in)
	if err != nil {
		return v, "error: " + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	o := v.Get(name)
	return v, fmt.Sprintf("%q from %s", o.Text, o.Origin)
}

// TestRules has one line for each rule that dnsmonster's options follow.
func TestRules(t *testing.T) {
	f := func(name, line, environ, file, want string) {
		t.Helper()
		if _, got := resolved(t, name, line, environ, file); got != want {
			t.Errorf("%s with line %q, environment %q, file %q:\n got %s\nwant %s", name, line, environ, file, got, want)
		}
	}
	// precedence
	f("port", "", "", "", `["53"] from the default`)
	f("port", "", "", "port = 1", `["1"] from x.ini line 1`)
	f("port", "", "DNSMONSTER_PORT=2", "port = 1", `["2"] from the environment variable DNSMONSTER_PORT`)
	f("port", "--port 3", "DNSMONSTER_PORT=2", "port = 1", `["3"] from the command line`)
	// lists: repeated, overridden as a whole by a higher layer, texts are never split at commas
	f("port", "--port 3 --port=4", "DNSMONSTER_PORT=2", "port = 1", `["3" "4"] from the command line`)
	f("port", "", "", "port = 1\nport = 2", `["1" "2"] from x.ini lines 1, 2`)
	f("kafkaoutputbroker", "", "DNSMONSTER_KAFKAOUTPUTBROKER=a:1,b:2", "kafkaoutputbroker = c", `["a:1,b:2"] from the environment variable DNSMONSTER_KAFKAOUTPUTBROKER`)
	f("kafkaoutputbroker", "--kafkaoutputbroker a,b", "", "", `["a,b"] from the command line`)
	f("kafkaoutputbroker", "", "", "kafkaoutputbroker = a,b", `["a,b"] from x.ini line 1`)
	f("kafkaoutputbroker", "", "", "kafkaoutputbroker =", `[] from x.ini line 1`)
	// numbers cannot contain a comma
	f("port", "--port 1,2 --port 3", "", "", `["1" "2" "3"] from the command line`)
	f("port", "", "DNSMONSTER_PORT=1, 2", "", `["1" "2"] from the environment variable DNSMONSTER_PORT`)
	f("port", "", "", "port = 1,2\nport = 3", `["1" "2" "3"] from x.ini lines 1, 2`)
	f("port", "--port 1,", "", "", `error: --port: a number is missing before or after a comma: write 53,853, without spaces (from the command line)`)
	f("port", "--port 1-3", "", "", `error: --port: "1-3" is not a whole number: ranges are not read, write each number: 53,853 (from the command line)`)
	f("port", "--port dns", "", "", `error: --port: "dns" is not a whole number: did you mean 53? (from the command line)`)
	for _, text := range []string{"1 2", "1;2"} {
		f("port", "", "DNSMONSTER_PORT="+text, "", `error: port: "`+text+`" is not a whole number: separate numbers by commas: 1,2 (from the environment variable DNSMONSTER_PORT)`)
	}
	// single values that are repeated: the last one counts
	f("devname", "--devname a --devname b", "", "", `["b"] from the command line`)
	f("devname", "", "", "devname = a\ndevname = b", `["b"] from x.ini line 2`)
	// case: it does not matter in names, and is kept in values
	f("devname", "--devName Eth0", "", "", `["Eth0"] from the command line`)
	f("devname", "", "", "[CAPTURE]\nDevName = Eth0", `["Eth0"] from x.ini line 2`)
	// truth values
	f("dedup", "--dedup", "", "", `["true"] from the command line`)
	f("dedup", "--dedup=false", "", "dedup = true", `["false"] from the command line`)
	f("dedup", "", "", "dedup =", `["true"] from x.ini line 1`)
	f("dedup", "", "DNSMONSTER_DEDUP=", "", `["true"] from the environment variable DNSMONSTER_DEDUP`)
	f("dedup", "", "DNSMONSTER_DEDUP=1", "", `["true"] from the environment variable DNSMONSTER_DEDUP`)
	f("dedup", "--dedup=yes", "", "", `error: --dedup: "yes" is neither true nor false (from the command line)`)
	// numbers are decimal; an empty one in the environment is ignored
	f("loglevel", "--loglevel 04", "", "", `["4"] from the command line`)
	f("loglevel", "", "DNSMONSTER_LOGLEVEL=", "", `["3"] from the default`)
	f("loglevel", "", "", "loglevel =", `error: loglevel: "" is not a whole number of 0 or more (from x.ini line 1)`)
	f("loglevel", "--loglevel -1", "", "", `error: --loglevel: "-1" is not a whole number of 0 or more (from the command line)`)
	f("loglevel", "--loglevel", "", "", `error: --loglevel needs a value: --loglevel=NUMBER`)
	f("gctime", "", "", "gctime = 90s", `["1m30s"] from x.ini line 1`)
	f("gctime", "", "DNSMONSTER_GCTIME=5", "", `error: gctime: "5" is not a time such as 500ms, 10s or 1m30s: did you mean 5s? (from the environment variable DNSMONSTER_GCTIME)`)
	// an empty text is a value
	f("metricstderrformat", "", "DNSMONSTER_METRICSTDERRFORMAT=", "metricstderrformat = kv", `[""] from the environment variable DNSMONSTER_METRICSTDERRFORMAT`)
	// aliases
	f("metricstderrformat", "--metricFormat kv", "", "", `["kv"] from the command line`)
	f("metricstderrformat", "", "DNSMONSTER_METRICFORMAT=kv", "", `["kv"] from the environment variable DNSMONSTER_METRICFORMAT`)
	f("metricstderrformat", "", "", "[metric]\nmetricformat = kv", `["kv"] from x.ini line 2`)
	f("metricstderrformat", "", "DNSMONSTER_METRICFORMAT=kv|DNSMONSTER_METRICSTDERRFORMAT=json", "", `["json"] from the environment variable DNSMONSTER_METRICSTDERRFORMAT`)
	// unknown names
	f("port", "--prot 53", "", "", `error: unknown option --prot: did you mean --port?`)
	f("port", "--zzz", "", "", `error: unknown option --zzz`)
	f("port", "--pcapfile=x", "", "", `error: --pcapfile is not an option of run`)
	f("port", "", "", "\nprot = 53", `error: x.ini line 2: unknown key prot: did you mean port?`)
	f("port", "", "", "[metric]\nmetricfmt = kv", `error: x.ini line 2: unknown key metricfmt`)
	f("port", "", "", "[kafka_output]\nbroker = h", `error: x.ini line 2: unknown key broker: did you mean kafkaoutputbroker?`)
	f("port", "", "", "[general]\ngctim = 1s", `error: x.ini line 2: unknown key gctim: did you mean gctime?`)
	f("port", "", "", "[kafka_output]\nkafkapasswort = hush", `error: x.ini line 2: unknown key kafkapasswort: did you mean kafkapassword?`)
	f("port", "", "", "http://me:hush@h/?a = b", `error: x.ini line 1: unknown key ********`)
	f("port", "", "", "[captur]\nport = 53", `error: x.ini line 2: unknown section [captur]: did you mean capture?`)
	f("port", "", "", "[general]\nport = 53", `error: x.ini line 2: port does not belong in [general] but in [capture]`)
	f("port", "", "", "config = y.ini", `error: x.ini line 1: config cannot be set in a file: use --config on the command line`)
	// of two keys that are equally similar, the one in the same section is suggested
	f("port", "", "", "[capture]\nservernama = s", `error: x.ini line 2: unknown key servernama: did you mean servername1?`)
	f("port", "", "", "[general]\nservernama = s", `error: x.ini line 2: unknown key servernama: did you mean servername2?`)
	f("port", "", "", "servernama = s", `error: x.ini line 1: unknown key servernama: did you mean servername1?`)
	// Kubernetes' variables of a service called dnsmonster
	f("port", "", "DNSMONSTER_PORT=tcp://10.96.0.12:8080|DNSMONSTER_SERVICE_HOST=10.96.0.12", "", `["53"] from the default`)
	f("port", "", "DNSMONSTER_PORT=udp://[2001:db8::1]:53", "port = 1", `["1"] from x.ini line 1`)
	f("port", "--port 3", "DNSMONSTER_PORT=tcp://10.96.0.12:8080", "", `["3"] from the command line`)
	f("port", "", "DNSMONSTER_PORT=tcp://x", "", `error: port: "tcp://x" is not a whole number (from the environment variable DNSMONSTER_PORT)`)
	// a wrong value is an error unless a higher layer overrides it
	f("port", "--port 3", "DNSMONSTER_PORT=2x", "port = 1x", `["3"] from the command line`)
	f("port", "", "DNSMONSTER_PORT=2", "port = 1x", `["2"] from the environment variable DNSMONSTER_PORT`)
	f("loglevel", "--loglevel 9", "DNSMONSTER_LOGLEVEL=x", "", `["9"] from the command line`)
	f("port", "--port 3x", "DNSMONSTER_PORT=2", "", `error: --port: "3x" is not a whole number (from the command line)`)
	f("port", "--port 3x", "DNSMONSTER_PORT=2x", "", `error: --port: "3x" is not a whole number (from the command line)`)
	// everything that is wrong is reported at once
	f("port", "--loglevel x", "DNSMONSTER_GCTIME=y", "port = z", `error: port: "z" is not a whole number (from x.ini line 1); `+
		`gctime: "y" is not a time such as 500ms, 10s or 1m30s (from the environment variable DNSMONSTER_GCTIME); `+
		`--loglevel: "x" is not a whole number of 0 or more (from the command line)`)
}

func TestWarnings(t *testing.T) {
	f := func(line, environ, file, want string) {
		t.Helper()
		v, got := resolved(t, "port", line, environ, file)
		if strings.HasPrefix(got, "error") {
			t.Fatal(got)
		}
		if got := strings.Join(append(v.Warnings, Deprecated(v)...), "; "); got != want {
			t.Errorf("line %q, environment %q, file %q: warnings %q, want %q", line, environ, file, got, want)
		}
	}
	f("", "DNSMONSTER_PORT=2|HOME=/root", "loglevel = 2", "")
	f("", "DNSMONSTER_PORT=2", "port = 1", "the environment variable DNSMONSTER_PORT overrides port of x.ini line 1: dnsmonster let the file win")
	f("", "DNSMONSTER_COMPT=2", "", "unknown environment variable DNSMONSTER_COMPT")
	f("", "DNSMONSTER_PROT=2", "", "unknown environment variable DNSMONSTER_PROT: did you mean DNSMONSTER_PORT?")
	f("", "DNSMONSTER_devName=x", "", "unknown environment variable DNSMONSTER_devName: did you mean DNSMONSTER_DEVNAME?")
	f("", "", "pcapfile = x", "pcapfile has no effect on run (from x.ini line 1)")
	f("", "", "pcapfile =", "")
	f("", "DNSMONSTER_PCAPFILE=x", "", "pcapfile has no effect on run (from the environment variable DNSMONSTER_PCAPFILE)")
	f("", "", "devname = a\nport = 1\ndevname = b\nport = 2", "devname is set on lines 1, 3 of x.ini: only line 3 counts")
	f("", "", "old = x", "old is deprecated and has no effect (from x.ini line 1)")
	f("--port 3", "DNSMONSTER_PORT=2x", "port = 1x", `port: "1x" is not a whole number (from x.ini line 1): no effect, the command line overrides it; `+
		`port: "2x" is not a whole number (from the environment variable DNSMONSTER_PORT): no effect, the command line overrides it`)
	f("", "DNSMONSTER_PORT=tcp://10.96.0.12:53|DNSMONSTER_SERVICE_PORT_DNS_UDP=53|DNSMONSTER_PORT_53_UDP_ADDR=10.96.0.12|DNSMONSTER_SENSOR_PORT=tcp://10.96.0.13:80|DNSMONSTER_SENSOR_SERVICE_HOST=10.96.0.13", "",
		"ignored, because Kubernetes has set them for a service of that name: DNSMONSTER_PORT, DNSMONSTER_PORT_53_UDP_ADDR, DNSMONSTER_SENSOR_PORT, DNSMONSTER_SENSOR_SERVICE_HOST, DNSMONSTER_SERVICE_PORT_DNS_UDP (to avoid them, set enableServiceLinks: false in the pod's spec)")
	f("", "DNSMONSTER_METRICFORMAT=kv|DNSMONSTER_METRICSTDERRFORMAT=json", "", "DNSMONSTER_METRICSTDERRFORMAT is set, so DNSMONSTER_METRICFORMAT has no effect")
}

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "s")
	for name, content := range map[string]string{"s": "from file\n", "kafkapassword": "from systemd\r\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := func(line, environ, file, want string) {
		t.Helper()
		v, got := resolved(t, "kafkapassword", line, environ, file)
		if got != want {
			t.Errorf("line %q, environment %q, file %q:\n got %s\nwant %s", line, environ, file, got, want)
		}
		if strings.HasPrefix(got, "error") {
			return
		}
		var table, ini, all strings.Builder
		WriteTable(&table, v, "x.ini", true)
		omitted, _ := WriteINI(&ini, v, false)
		WriteINI(&all, v, true)
		value := v.String("kafkapassword")
		if inFile := strings.Contains(ini.String(), "comes from kafkapasswordfile"); (len(omitted) == 1) != (value != "" && !inFile) {
			t.Errorf("line %q, environment %q, file %q: omitted %q", line, environ, file, omitted)
		}
		if value != "" && (strings.Contains(table.String(), value) || strings.Contains(ini.String(), value)) {
			t.Errorf("the secret is shown:\n%s\n%s", table.String(), ini.String())
		}
		if value == "in clear" && !strings.Contains(all.String(), "kafkapassword = in clear\n") {
			t.Errorf("not written with writesecrets:\n%s", all.String())
		}
	}
	f("", "", "", `[""] from the default`)
	f("", "", "kafkapassword = in clear", `["in clear"] from x.ini line 1`)
	f("--kafkapasswordfile "+secret, "", "kafkapassword = in clear", `["from file"] from the command line`)
	f("", "DNSMONSTER_KAFKAPASSWORDFILE="+secret, "", `["from file"] from the environment variable DNSMONSTER_KAFKAPASSWORDFILE`)
	f("", "DNSMONSTER_KAFKAPASSWORD=in clear", "kafkapasswordfile = "+secret, `["in clear"] from the environment variable DNSMONSTER_KAFKAPASSWORD`)
	f("", "CREDENTIALS_DIRECTORY="+dir, "", `["from systemd"] from the systemd credential kafkapassword`)
	f("", "CREDENTIALS_DIRECTORY="+dir, "kafkapassword = in clear", `["in clear"] from x.ini line 1`)
	f("", "", "kafkapassword = a\nkafkapasswordfile = "+secret, "error: kafkapassword: set both by itself (x.ini line 1) and by kafkapasswordfile (x.ini line 2): keep one")
	f("", "", "kafkapasswordfile = /no/such", "error: kafkapasswordfile: open /no/such: no such file or directory (from x.ini line 1)")
}

// TestPasswordsInAddresses: they are masked, whatever the option.
func TestPasswordsInAddresses(t *testing.T) {
	const file = "kafkaoutputbroker = a:1\nkafkaoutputbroker = http://user:hush@host:3128/"
	v, _ := resolved(t, "port", "", "", file)
	var table, ini, all strings.Builder
	WriteTable(&table, v, "x.ini", true)
	omitted, _ := WriteINI(&ini, v, false)
	WriteINI(&all, v, true)
	if text := table.String() + ini.String(); strings.Contains(text, "hush") || !strings.Contains(text, "http://********@host:3128/") {
		t.Errorf("shown:\n%s", text)
	}
	if fmt.Sprint(omitted) != "[kafkaoutputbroker]" || !strings.Contains(all.String(), "http://user:hush@host:3128/") {
		t.Errorf("omitted %v; with secrets:\n%s", omitted, all.String())
	}
}

// TestExposed: secrets that all users can read are named, with the remedy.
func TestExposed(t *testing.T) {
	dir := t.TempDir()
	open, closed := filepath.Join(dir, "open"), filepath.Join(dir, "closed")
	for path, mode := range map[string]os.FileMode{open: 0o644, closed: 0o640} {
		if err := os.WriteFile(path, []byte("kafkapassword = hush\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	f := func(line, environ, file, want string) {
		t.Helper()
		in := Input{Command: "run", Options: testOptions(t), Environ: strings.Split(environ, "|")}
		in.Known = func() []Option { return in.Options }
		in.Line = ParseLine(strings.Fields(line), commandsWith(in.Options)).Given
		if file != "" {
			var err error
			if in.File, err = ReadFile(file); err != nil {
				t.Fatal(err)
			}
		}
		v, err := Resolve(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(v.Warnings, "; "); got != want || strings.Contains(got, "hush") {
			t.Errorf("line %q, environment %q, file %q: warnings %q, want %q", line, environ, file, got, want)
		}
	}
	f("--port 54", "", "", "")
	f("--kafkapassword hush", "", "", "kafkapassword: everybody on this machine can read the command line: use --kafkapasswordfile, the environment or a file")
	f("--kafkapasswordfile "+closed, "", "", "")
	f("--kafkapasswordfile "+open, "", "", "kafkapasswordfile: everybody on this machine can read "+open+": chmod o-r")
	f("--kafkatlskeypath "+open, "", "", "kafkatlskeypath: everybody on this machine can read "+open+": chmod o-r")
	f("--kafkatlskeypath "+closed, "", "", "")
	f("", "DNSMONSTER_KAFKAPASSWORD=hush", "", "")
	f("", "", closed, "")
	f("", "", open, "everybody on this machine can read "+open+", which holds kafkapassword: chmod o-r")
}

func TestShown(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		v := &Value{Option: &Option{Name: "psqlendpoint"}}
		if got := v.Shown(text); got != want {
			t.Errorf("Shown(%q) = %q, want %q", text, got, want)
		}
	}
	f("", "")
	f("localhost:9000", "localhost:9000")
	f("postgres://host/db", "postgres://host/db")
	f("postgres://user@host/db", "postgres://********@host/db")
	f("http://host:80/path?mail=a@example.org", "http://********@example.org") // nothing tells the port from a password
	f("https://www.example.org/list@latest", "https://www.example.org/list@latest")
	f("http://user:12/34@host/x", "http://********@host/x")
	f("postgres://user:p/ss@host/db", "postgres://********@host/db")
	f("http://user:pass@proxy:3128", "http://********@proxy:3128")
	f("nats://token@host:4222", "nats://********@host:4222")
	f("postgres://user:p@ss@host:5432/db?x=1", "postgres://********@host:5432/db?x=1")
}

func TestJoined(t *testing.T) {
	a, b, c := errors.New("a"), errors.New("b"), errors.New("c")
	f := func(err error, want string) {
		t.Helper()
		if got := fmt.Sprintf("%q", SplitJoined(err)); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
	f(a, `["a"]`)
	f(errors.Join(a, b), `["a" "b"]`)
	f(errors.Join(errors.Join(a, b), c), `["a" "b" "c"]`)
	f(fmt.Errorf("%w", errors.Join(a, b)), `["a" "b"]`)
	f(fmt.Errorf("%w, and %w", a, b), `["a, and b"]`)
	f(fmt.Errorf("%w: fix it", errors.Join(a, b)), "[\"a\\nb: fix it\"]")
	f(errors.Join(a, fmt.Errorf("x: %w", b)), `["a" "x: b"]`)
}

func TestDefaultFilter(t *testing.T) {
	f := func(filter string, want bool) {
		t.Helper()
		if got := IsDefaultFilter(filter); got != want {
			t.Errorf("IsDefaultFilter(%q) = %v", filter, got)
		}
	}
	f(DefaultFilter, true)
	f("( (ip and (ip[9]==6 or ip[9] == 17)) or\t(ip6 and (ip6[6] == 17 or ip6[6] == 6 or ip6[6] == 44)) )", true)
	f("udp", false)
	f("", false)
}
