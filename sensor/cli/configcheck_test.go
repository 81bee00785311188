//go:build linux

package cli

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dnsmonster-sensor/outputs/all"
	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/packets"
)

// TestConfigCheck shows what is wrong, values, origins and what differs, in this order.
func TestConfigCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dnsmonster.ini")
	f := func(file string, ok bool, wants ...string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		err := (&configCheck{}).check(newApp(&out, io.Discard), path, []string{"DNSMONSTER_SERVERNAME=s1"})
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
		last := 0
		for line := range strings.Lines(out.String()) {
			kind := slices.IndexFunc([]string{"error: ", "warning: ", "[", "differs: "}, func(s string) bool { return strings.HasPrefix(line, s) })
			if kind >= 0 && kind < last {
				t.Errorf("%q: not in the order of errors, warnings, values and differences:\n%s", file, out.String())
				break
			}
			last = max(last, kind)
		}
	}
	f("[capture]\ndevname = lo\n[stdout_output]\nstdoutoutputtype = 1\n[zinc_output]\nzincoutputpassword = hush\n", true,
		"[capture] devname = lo ; line 2 ", "zincoutputpassword = ******** ; line 6", "run would start with this file")
	f("pcapfile = "+packets.TempFile(t, packets.Queries(1))+"\nsampleratio = 1:2\nstdoutoutputtype = 1\n[metric]\nmetricformat = kv\n", true,
		"differs: sampleratio: ", "differs: [metric]: here this section of a file is read; dnsmonster ignored it; ")
	f("[capture]\ndevname = lo\nprot = 53\n[general]\nloglevel = 9\n", false, "error: "+path+" line 3: unknown key prot: did you mean port?",
		"error: --loglevel 9: use 0 to 4 (from "+path+" line 5)", "error: no output is switched on")
	f("devname = lo\nloglevel = 9\nservername = s0\nsampleratio = 1:2", false, "error: --loglevel 9: use 0 to 4 (from "+path+" line 2)", "error: no output is switched on",
		"warning: the environment variable DNSMONSTER_SERVERNAME overrides servername")
}

// expectCheckErrors checks the file at path, which holds text, and expects these errors and
// no others, before everything else.
func expectCheckErrors(t *testing.T, path, text string, wants []string) {
	t.Helper()
	var out, log bytes.Buffer
	code := Main([]string{"x", "config", "check", path}, &out, &log)
	errors := 0
	for i, line := range strings.Split(out.String(), "\n") {
		if strings.HasPrefix(line, "error: ") {
			if errors++; i >= errors {
				t.Errorf("%q: errors do not come first:\n%s", text, out.String())
			}
		}
	}
	for _, want := range wants {
		if !strings.Contains(out.String(), "error: "+want) {
			t.Errorf("%q: lacks %q:\n%s", text, want, out.String())
		}
	}
	if errors != len(wants) || (code == exitOK) != (len(wants) == 0) {
		t.Errorf("%q: exit status %d, and %d errors, want %d:\n%s", text, code, errors, len(wants), out.String())
	}
}

// expectRunErrors runs with the file, and expects these errors.
func expectRunErrors(t *testing.T, path, text string, wants []string) {
	t.Helper()
	var out, log bytes.Buffer
	code := Main([]string{"x", "run", "--config=" + path}, &out, &log)
	for _, want := range wants {
		if !strings.Contains(log.String(), "dnsmonster-sensor: "+want) {
			t.Errorf("%q: run does not say %q:\n%s", text, want, log.String())
		}
	}
	if code != exitUsage {
		t.Errorf("%q: run ends with %d:\n%s", text, code, log.String())
	}
}

// TestConfigCheckIsAsStrictAsRun: both name the same errors, all of them, without those
// that only follow from others. Nothing is created.
func TestConfigCheckIsAsStrictAsRun(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(t.TempDir(), "dnsmonster.ini")
	file := packets.TempFile(t, packets.Queries(1))
	lab.ReplaceFile(t, filepath.Join(dir, "file"), "x")
	f := func(text string, wants ...string) {
		t.Helper()
		for i, want := range wants {
			wants[i] = strings.ReplaceAll(want, "DIR", dir)
		}
		lab.ReplaceFile(t, path, strings.ReplaceAll(text, "DIR", dir))
		before := contents(t, dir)
		expectCheckErrors(t, path, text, wants)
		if len(wants) > 0 && !strings.Contains(text, "loglevel = 9") { // run checks files once the options are right
			expectRunErrors(t, path, text, wants)
		}
		if now := contents(t, dir); now != before {
			t.Errorf("%q: something has changed:\n%s", text, now)
		}
	}
	const out = "stdoutoutputtype = 1\n"
	f("pcapfile = " + file + "\n" + out)
	f("pcapfile = " + file + "\nfileoutputtype = 1\nfileoutputpath = DIR\nspooldir = DIR/spool/deep\ncpuprofile = DIR/cpu\n")
	f("devname = none0\n"+out, "devname: no interface none0 (there are: ")
	f("devname = any\n" + out)
	f("pcapfile = DIR/no\n"+out, "--pcapfile: open DIR/no: no such file or directory (from ")
	f("pcapfile = DIR\n"+out, "--pcapfile: DIR is a folder: name the files in it (from ")
	f("pcapfile = "+file+"\nstdoutoutputtype = 2\nskipdomainsfile = DIR/no", "--skipdomainsfile: open DIR/no: no such file or directory: fix the list")
	f("pcapfile = "+file+"\nfileoutputtype = 1\nfileoutputpath = DIR/no", "fileoutputpath: DIR/no: no such file or directory: make the folder with: mkdir -p DIR/no (from ")
	f("pcapfile = "+file+"\nfileoutputtype = 1\nfileoutputpath = DIR/file", "fileoutputpath: DIR/file: not a folder: name the folder of dnsmonster.log (from ")
	f("pcapfile = "+file+"\nspooldir = DIR/file/x\n"+out, "--spooldir DIR/file/x: output stdout: make spool: open DIR/file: not a directory (from ")
	f("pcapfile = "+file+"\nmemprofile = DIR/file\n"+out, "--memprofile: DIR/file exists and is not a profile")
	f("devname = none0\nfileoutputtype = 2\nfileoutputpath = DIR/no\nskipdomainsfile = DIR/no\nloglevel = 9\nspooldir = DIR/file\n",
		"devname: no interface none0 ", "fileoutputpath: ", "--skipdomainsfile: ", "--loglevel 9: ", "--spooldir DIR/file: ")
	f("devname = none0\nfileoutputtype = 2\nfileoutputpath = DIR/no\nskipdomainsfile = DIR/no\nspooldir = DIR/file\n",
		"devname: no interface none0 ", "fileoutputpath: ", "--skipdomainsfile: ", "--spooldir DIR/file: ")
	// errors that follow from others
	lacking, wants := "pcapfile = "+file, []string(nil)
	for _, p := range config.Pending(outputNames(all.New())) {
		switch says := p.Name + ": not in this build, but "; {
		case p.Output != "":
			lacking, wants = lacking+"\n"+p.Output+"outputtype = 1", append(wants, says)
		}
	}
	if wants != nil {
		f(lacking, wants...)
	}
	f("pcapfile = "+file+"\nstdoutoutputtyp = 1", path+" line 2: unknown key stdoutoutputtyp: did you mean stdoutoutputtype?")
	f("devnam = lo\n"+out, path+" line 1: unknown key devnam: did you mean devname?")
	f("stdoutoutputtype = x\npcapfile = "+file, "stdoutoutputtype: ")
	f("", "no output is switched on", "no input: ")
	f("pcapfile = "+file+" ; x\n[stdout_output] ; y\nstdoutoutputtype = 1 # z\nbogus = 3\ndedup\nloglevel = 9\n[general]\n",
		path+" line 1: key pcapfile: its value ends in a comment", path+" line 2: a comment needs a line of its own",
		path+" line 3: key stdoutoutputtype: its value ends", path+" line 4: unknown key bogus", path+" line 5: not of the form", "--loglevel 9: ")
	f("pcapfile = "+file+"\nfileoutputtype = 1", "fileoutputpath: name the folder of the files")
	f("pcapfile = " + file + "\nfilter =\n" + out)
	f("pcapfile = "+file+"\npsqloutputtype = 1\npsqlendpointfile = DIR/no\n", "psqlendpointfile: open DIR/no: no such file or directory")
	f("pcapfile = "+file+"\nfileoutputtype = 1\nfileoutputpath = DIR ; x\n", path+" line 3: key fileoutputpath: its value ends in a comment")
}

// TestConfigCheckShowsLetters of all languages unchanged, anywhere in a long table.
func TestConfigCheckShowsLetters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.ini")
	for i := range 2 {
		name := strings.Repeat("x", i) + strings.Repeat("é", 5000)
		lab.ReplaceFile(t, path, "pcapfile = "+packets.TempFile(t, packets.Queries(1))+"\nstdoutoutputtype = 1\nservername = "+name+"\n")
		var out, log bytes.Buffer
		if code := Main([]string{"x", "config", "check", path}, &out, &log); code != exitOK || !strings.Contains(out.String(), "servername = "+name+" ;") {
			t.Errorf("exit status %d, or the name is not shown as it is: %s", code, log.String())
		}
	}
}

// TestConfigCheckTakesTheExample in docs/configuration.md.
func TestConfigCheckTakesTheExample(t *testing.T) {
	dir := t.TempDir()
	example := strings.ReplaceAll(config.Example, "/etc/dnsmonster-sensor/", dir+"/")
	for name, content := range map[string]string{"c.ini": example, "psqlendpoint": "postgres://sensor:hush@db.example.org/dns\n", "skipdomains.csv": "example.org,suffix\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := (&configCheck{}).check(newApp(&out, io.Discard), filepath.Join(dir, "c.ini"), nil); err != nil || strings.Contains(out.String(), "warning:") || strings.Contains(out.String(), "hush") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// TestConfigCheckNamesChanges: each difference to dnsmonster that matters to a file, and
// no other.
func TestConfigCheckNamesChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dnsmonster.ini")
	named := func(file string) string {
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		(&configCheck{}).check(newApp(&out, io.Discard), path, nil)
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
	pending := config.Pending(outputNames(all.New()))
	f := func(file, want string) {
		t.Helper()
		for _, p := range pending { // an error, and no difference matters
			if p.Output != "" && strings.HasPrefix(file, p.Output+"outputtype") {
				want = ""
			}
		}
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
		{"stdoutoutputtype = 1\nstdoutoutputformat = gotemplate", "gotemplate"},
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
	input("packethandlercount = 8", "sizes of queues and numbers of handlers")
	input("sampleratio = 1:2", "sampleratio")
	input("noetherframe =", "noetherframe")
	input("dedup = true", "dedup")
	input("gctime = 3s", "gctime")
	input("masksize4 = 24", "masksize4, masksize6")
	if got := named("masksize4 = 24\nmaskecs = false"); got != "" {
		t.Errorf("masks as before: differs %s", got)
	}
	if got := named("devname = lo\ndecap = vxlan"); got != "malformed messages; TCP; tunnels; timestamps" {
		t.Errorf("an interface: differs %s", got)
	}
	unchanged := "pcapfile =\ngctime = 10s\nmasksize4 = 32\nskipdomainsfile =\npackethandlercount = 2\n[metric]\nmetricflushinterval = 10s\n"
	if got := named(unchanged); got != "" {
		t.Errorf("defaults: differs %s", got)
	}
}

// TestConfigCheckReads from stdin, with --config and the variable, too; and says what is
// wrong with what is no configuration.
func TestConfigCheckReads(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.ini")
	lab.ReplaceFile(t, path, "[capture]\npcapfile = "+packets.TempFile(t, packets.Queries(1))+"\nport = 53\nsnaplen = 128\n[stdout_output]\nstdoutoutputtype = 1\n")
	f := func(code int, wants string, args ...string) {
		t.Helper()
		in, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		before := os.Stdin
		os.Stdin = in
		defer func() { os.Stdin = before }()
		var out, log bytes.Buffer
		got := Main(append([]string{"x", "config"}, args...), &out, &log)
		text := out.String() + log.String()
		for want := range strings.SplitSeq(wants, "|") {
			if got != code || !strings.Contains(text, want) {
				t.Errorf("%q: exit status %d, want %d and %q:\n%s", args, got, code, want, text)
			}
		}
	}
	const rows = "\n[capture]\npcapfile = |snaplen = 128                            ; line 4\n|1 option is set to its default (--all shows it)\n|\n\nrun would start with this file\n"
	f(exitOK, rows, "check", path)
	f(exitOK, rows, "check", "-")
	f(exitOK, rows, "check", "--config="+path)
	f(exitOK, rows, "--config", path, "check")
	f(exitOK, "port = 53                                ; line 3\n|\nworkers = 0                              ; default\n", "check", "--all", path)
	f(exitUsage, "config check: name the configuration file, such as: dnsmonster-sensor config check /etc/dnsmonster.ini", "check")
	f(exitUsage, "config check: name one file, not 2", "check", path, path)
	f(exitUsage, "did you mean: x config check "+path, path)
	f(exitUsage, "config check: "+dir+" is a folder: name a file in it", "check", dir)
	f(exitUsage, "config check: open "+dir+"/no: no such file or directory", "check", dir+"/no")
	f(exitUsage, "config check: /etc/passwd is not a configuration file: it has no line key = value with a known key", "check", "/etc/passwd")
	t.Setenv("DNSMONSTER_CONFIG", path)
	f(exitOK, rows, "check")
	t.Setenv("DNSMONSTER_CONFIG", "")
	lab.ReplaceFile(t, path, "stdoutoutputtype = 1\npcapfile = /dev/null\nkafkaoutputtype = 1\n"+strings.Repeat("prot = 53\n", 9))
	f(exitUsage, "error: kafka output: not in this build, but kafkaoutputtype=1 switches it on: set kafkaoutputtype=0 and use one of clickhouse, dnstap, file, psql, stdout (from "+
		path+" line 3)\nerror: "+path+" line 4: unknown key prot: did you mean port?\n|line 8: |\nand 4 more of these (--all shows them)\n", "check", path)
	f(exitUsage, "line 12: unknown key prot", "check", "--all", path)
}
