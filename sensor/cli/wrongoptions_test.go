//go:build linux

package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dnsmonster-sensor/outputs/all"
	"dnsmonster-sensor/outputs/secure"
	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// wrongValues are values of the right form that an option cannot have, separated
// by spaces. An output's options are tried with the output switched on.
var wrongValues = map[string]string{
	"afpacketbuffersizemb":        "0 -1 65537",
	"allowdomainsfile":            "ftp://h/x http:///x",
	"allowdomainsrefreshinterval": "1ms -1s",
	"capturestatsdelay":           "0s -1s",
	"clickhouseaddress":           "http://h:8123 h:0 h:x a,b u@h:9000",
	"clickhousedelay":             "-1s",
	"clickhousecompress":          "10",
	"clickhousecompression":       "gzip",
	"clickhousedatabase":          "a.b",
	"clickhousetable":             "a.b a`b",
	"clickhousetimeout":           "0s -1s",
	"csvip":                       "hex",
	"decap":                       "vlan vxlan,",
	"dedupwindow":                 "0s",
	"defragmb":                    "0 -1 65537",
	"dnstapoutputaddress":         "unix:// tcp://127.0.0.1 tls://:6000 http://127.0.0.1:80 tcp://127.0.0.1:1,/var/log",
	"dnstapoutputcompress":        "rar",
	"dnstapoutputmessage":         "CLIENT clients all client,auth",
	"dnstapoutputrotatecount":     "-1",
	"dnstapoutputrotatecron":      "midnight",
	"dnstapoutputtimeout":         "0s -1s",
	"dnstappermission":            "rw-r----- 8 01000 0555",
	"dnstapsocket":                "here 127.0.0.1:6000 tcp://127.0.0.1 unix://dnstap.sock http://127.0.0.1:80",
	"dnstaptypes":                 "clients client,query CLIENT",
	"domainmatch":                 "suffix",
	"fileoutputcompress":          "rar",
	"fileoutputrotatecount":       "-1",
	"fileoutputrotatecron":        "midnight",
	"filter":                      "wrong",
	"fragmentquota":               "-1 10000001",
	"gctime":                      "0s -1s 500000h",
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
	"metricprometheusendpoint":    "2112 https://h:1/m http://h/m http://user:word@h:1/m http://h:1/m?x=y",
	"metricstatsdagent":           "localhost :8125",
	"metricstderrformat":          "xml",
	"mode":                        "afxdp",
	"pincpus":                     "a 1- 3-1 0,0 8191",
	"port":                        "0 -1 65536",
	"psqlbatchsize":               "0",
	"psqlbatchtimeout":            "0s -1s",
	"psqlendpoint":                "postgres://h:x/ mysql://h/",
	"psqltable":                   "a.b.c a-b",
	"queuemb":                     "1048577",
	"ringmb":                      "0 3 2048",
	"samplemode":                  "random",
	"sampleratio":                 "1 0:1 3:2 a:b 1:0 -1:2",
	"skipdomainsfile":             "ftp://h/x http:///x",
	"skipdomainsrefreshinterval":  "1ms -1s",
	"snaplen":                     "-1 63 65536",
	"speed":                       "-1 NaN Inf",
	"spoolmb":                     "7",
	"spoolmode":                   "never always",
	"stats":                       "1ms -1s",
	"tcpmb":                       "0 -1 65537",
	"timezone":                    "Mars/Olympus",
	"tunnelport":                  "vxlan gre:47 vxlan:0 vxlan:53",
	"workers":                     "-1 65",
}

// wrongOfOutputs are wrong values of the options that outputs have in common, by the end
// of their names.
var wrongOfOutputs = map[string]string{
	"outputtype": "5 -1", "workers": "0 -1", "workercount": "0 -1", "batchsize": "-1", "batchdelay": "-1s",
	"outputformat": "xml", "outputgotemplate": "{{.Nothing", "cafile": "/nowhere", "certfile": "/nowhere", "keyfile": "/nowhere",
}

// wrongFor looks an option up in both tables.
func wrongFor(o *config.Value) []string {
	list := strings.Fields(wrongValues[o.Name])
	for ending, values := range wrongOfOutputs {
		if strings.HasSuffix(o.Section, "_output") && strings.HasSuffix(o.Name, ending) && !missing(o) {
			list = append(list, strings.Fields(values)...)
		}
	}
	return list
}

// anyText are the placeholders of options that can have any text.
var anyText = []string{"FILE", "PASSWORD", "FOLDER", "INTERFACE", "GROUP", secure.KeyPlaceholder, "NAME"}

// misfits are values of the wrong form for an option.
func misfits(o *config.Value) []string {
	switch o.Kind {
	case config.Bool:
		return []string{"7x"}
	case config.SwitchOrTime:
		return []string{"5", "soon", "-1s"}
	case config.Duration:
		return []string{"5", "soon"}
	case config.Text:
		return nil
	case config.Float:
		return []string{"7x", "1,2"}
	}
	list := []string{"7x", "0x10", "99999999999999999999"}
	if o.List {
		return append(list, "1,", "1-2") // commas separate numbers
	}
	return append(list, "1,2")
}

// TestWrongOptionValuesAreNamed: for every option, an error names it and where
// its value came from, before anything is opened.
func TestWrongOptionValuesAreNamed(t *testing.T) {
	t.Parallel()
	defaults, err := values([]string{"run"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	n := 0
	for _, o := range defaults.All() {
		bad := append(misfits(&o), wrongFor(&o)...)
		if o.Section == "" || o.Hidden || len(bad) == 0 && (slices.Contains(anyText, o.Placeholder) || missing(&o)) {
			continue
		}
		idle := missing(&o) || strings.HasPrefix(o.Usage, "accepted for compatibility")
		if len(wrongFor(&o)) == 0 && !idle && (o.Kind == config.Int || o.Kind == config.Duration || len(bad) == 0) {
			t.Errorf("%s: add a wrong value to wrongValues, or its placeholder to anyText", o.Name)
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

// missing reports whether an option belongs to a feature that this build lacks: its values
// are not checked, since they are not used.
func missing(o *config.Value) bool { return slices.Contains(missingOptions(), o.Name) }

var missingOptions = sync.OnceValue(func() (names []string) {
	for _, f := range config.PendingFlags(config.Pending(outputNames(all.New()))) {
		names = append(names, f.Names()[0])
	}
	return names
})

// TestFixedValues: options with a fixed set of values accept all of them.
func TestFixedValues(t *testing.T) {
	t.Parallel()
	for option, list := range map[string]string{
		"clickhousedelay":      "-1s",
		"clickhousecompress":   "0 1 2 3 4 5 6 7 8 9",
		"csvip":                "integer text uint128",
		"dnstappermission":     "755 0770 777",
		"dnstaptypes":          "all client,resolver auth,forwarder,stub,tool,update",
		"fileoutputformat":     "json text csv csv_no_header gotemplate json-ocsf",
		"kafkacompressiontype": "snappy gzip lz4 zstd",
		"kafkaoutputformat":    "json gob",
		"logformat":            "text json",
		"loglevel":             "0 1 2 3 4",
		"malformed":            "record drop",
		"metricstderrformat":   "json kv",
		"mode":                 "auto tcx clsact xdp",
		"samplemode":           "packet flow",
		"spoolmode":            "overflow",
		"stdoutoutputformat":   "json text csv csv_no_header gotemplate json-ocsf json-flat",
	} {
		for value := range strings.FieldsSeq(list) {
			args := []string{"dnsmonster-sensor", "--pcapfile=/no/such", "--stdoutoutputtype=1", "--metricendpointtype=", "--" + option + "=" + value}
			if err := perform(newApp(io.Discard, io.Discard), args, nil); err == nil || !strings.HasPrefix(err.Error(), "--pcapfile: open /no/such") {
				t.Errorf("%s=%s: error %v, want that of the file alone", option, value, err)
			}
		}
	}
}

// TestChecksOfOptions: values of the right form that are refused.
func TestChecksOfOptions(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		err := perform(newApp(io.Discard, io.Discard), append([]string{"dnsmonster-sensor"}, args...), nil)
		if err == nil || !slices.Contains(strings.Split(err.Error(), "\n"), want) {
			t.Errorf("%q: error %v, want %s", args, err, want)
		}
	}
	const line = " (from the command line)"
	f("no input: set --devname, --pcapfile or --dnstapsocket (see dnsmonster-sensor --help)")
	f("--devname and --dnstapsocket are set: use one of them (from the command line)", "--devName=lo", "--dnstapSocket=unix:///x")
	f("--dnstapsocket: tcp://127.0.0.1:1 is named twice"+line, "--dnstapsocket=tcp://127.0.0.1:1,tcp://127.0.0.1:1")
	f("--dnstapcertfile: an address tls:// needs a certificate: set dnstapcertfile and dnstapkeyfile", "--dnstapsocket=tls://[::1]:1")
	f("--dnstapcafile: it is for addresses tls://, and there is none: remove it, or use tls:// instead of tcp://"+line, "--dnstapsocket=tcp://[::1]:1", "--dnstapcafile=x")
	f("--dnstapgroup: it is for addresses unix://, and there is none: remove it"+line, "--dnstapsocket=tcp://[::1]:1", "--dnstapgroup=x")
	f("--dnstapgroup: with --dnstapdial the server makes the socket, and its configuration sets the group: remove it"+line, "--dnstapsocket=unix:///x", "--dial", "--dnstapgroup=x")
	f("--dnstappermission \"0444\": nobody could connect, because that needs the right to write: use 0770, or 0777 for everybody"+line, "--dnstapsocket=unix:///x", "--dnstappermission=0444")
	const noDedup = "--dedup: it does not apply to dnstap: a server reports each message once, and without the IP headers by which duplicates are recognised; remove it"
	const noFilter = "--filter: it does not apply to dnstap: a filter of tcpdump looks at the headers of packets, and dnstap frames have none; remove it, and use --dnstaptypes or the lists of domains"
	f(noDedup+line, "--dnstapsocket=unix:///x", "--dedup")
	f(noFilter+line, "--dnstapsocket=unix:///x", "--filter=udp")
	f(noDedup+line, "dnstap", "unix:///x", "--dedup")
	f(noFilter+line, "dnstap", "unix:///x", "--filter=port 53")
	f("--devname and --pcapfile are set: use one of them (from the command line)", "--devName=lo", "--pcapFile=x")
	f(`run takes no arguments: remove "eth9"; an interface is named by --devname=eth9, a capture file by --pcapfile=eth9`, "run", "eth9")
	f(`unexpected argument "true": write the value of a switch as --name=true`, "--dedup", "true")
	f(`unexpected argument "false": write the value of a switch as --name=false`, "run", "--dedup", "false")
	f("--port 70000: a port is a number from 1 to 65535"+line, "--port=53,70000", "--pcapfile=x")
	f("--port: name at least one port"+line, "--port=", "--pcapfile=x")
	f("--port 0: a port is a number from 1 to 65535"+line, "--port=0", "--pcapfile=x")
	f("--masksize4 33: use 0 to 32"+line, "--masksize4=33", "--pcapfile=x")
	f("--masksize6 -1: use 0 to 128"+line, "--maskSize6", "-1", "--pcapfile=x")
	f("--loglevel 5: use 0 to 4"+line, "--loglevel=5", "--pcapfile=x")
	f("--gomaxprocs 0: use -1 for all, or 1 and more"+line, "--gomaxprocs=0", "--pcapfile=x")
	f("--queuemb 2000000: use 0 to 1048576"+line, "--queuemb=2000000", "--pcapfile=x")
	f("--spoolmb 7: use 8 to 1048576"+line, "--spoolmb=7", "--pcapfile=x")
	f(`--spoolmode "never": use overflow or always`+line, "--spoolmode=never", "--pcapfile=x")
	f("--spoolmode always: needs a folder, --spooldir"+line, "--spoolmode=always", "--pcapfile=x")
	f("--gctime 0s: use at least 1ms"+line, "--gctime=0s", "--pcapfile=x")
	f("--capturestatsdelay 0s: use at least 10ms"+line, "--capturestatsdelay=0s", "--pcapfile=x")
	f("--metricflushinterval 0s: use at least 100ms"+line, "--metricflushinterval=0s", "--pcapfile=x")
	f("--metricstatsdagent: needed for --metricendpointtype=statsd, such as 127.0.0.1:8125", "--metricendpointtype=statsd", "--pcapfile=x")
	f(`--metricprometheusendpoint "********": use a URL of host, port and path alone: clients are not asked for a password`+line, "--metricprometheusendpoint=http://me:hush@x:1", "--pcapfile=x")
	f(`--metricprometheusendpoint "https://x:1": use a URL such as http://127.0.0.1:2112/metrics`+line, "--metricprometheusendpoint=https://x:1", "--pcapfile=x")
	f(`--sampleratio: "0:1" would keep nothing`+line, "--sampleratio=0:1", "--pcapfile=x")
	f("--config: open /no/such: no such file or directory"+line, "--config=/no/such")
	f("--writeconfig: open /no/such: no such file or directory"+line, "--writeconfig=/no/such")
	f("--cpuprofile: open /no/such: no such file or directory"+line, "--cpuprofile=/no/such", "--pcapfile=x", "--stdoutoutputtype=1")
	f("--memprofile: open /no/such: no such file or directory"+line, "--memprofile=/no/such", "--pcapfile=x", "--stdoutoutputtype=1")
	f("--devname is not an option of attach, but of run", "attach", "lo", "--devname=x")
	f("--tap captures by XDP: remove it, or --mode=tcx"+line, "attach", "lo", "--tap", "--mode=tcx")
	f("--tap captures by XDP: remove it, or --useafpacket"+line, "--tap", "--useafpacket", "--devname=lo")
	f("attach: any means all interfaces: name no others", "--devname=lo,any", "--stdoutoutputtype=1")
	f("--tap needs interfaces by name or pattern: with any it would cut off this host"+line, "attach", "any", "--tap")
	f("--mode is not an option of replay, but of run and attach", "replay", "x.pcap", "--mode=xdp")
	f("config check: name the configuration file, such as: dnsmonster-sensor config check /etc/dnsmonster.ini", "config", "check")
	f("config: use dnsmonster-sensor config check FILE", "config")
}

// TestAllErrorsAreNamed, and not only the first one.
func TestAllErrorsAreNamed(t *testing.T) {
	var out, log bytes.Buffer
	code := Main([]string{"dnsmonster-sensor", "--loglevel=9", "--sampleratio=2:1", "--ringmb=3", "--stdoutoutputformat=xml", "--metricformat=xml"}, &out, &log)
	if code != exitUsage || strings.Count(log.String(), "\n") != 6 {
		t.Errorf("exit status %d, want %d and 6 lines:\n%s", code, exitUsage, log.String())
	}
	for _, want := range []string{"--loglevel 9: ", "--sampleratio: ", "--ringmb 3: ", "--stdoutoutputformat: ", `--metricstderrformat "xml": `, "no input: "} {
		if !strings.Contains(log.String(), "dnsmonster-sensor: "+want) {
			t.Errorf("lacks %q:\n%s", want, log.String())
		}
	}
}

// TestAllErrorsOfOutputsAreNamed, and not only the first one of each.
func TestAllErrorsOfOutputsAreNamed(t *testing.T) {
	f := func(args ...string) {
		t.Helper()
		err := perform(newApp(io.Discard, io.Discard), append([]string{"dnsmonster-sensor", "--pcapfile=x"}, args...), nil)
		for _, arg := range args {
			name, value, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
			if strings.HasSuffix(name, "outputtype") && value == "1" {
				continue
			}
			if err == nil || !slices.ContainsFunc(strings.Split(err.Error(), "\n"), func(line string) bool {
				return strings.HasPrefix(line, "--"+name+": ") && strings.HasSuffix(line, " (from the command line)")
			}) {
				t.Errorf("%q: error %v, want %s named", args, err, name)
			}
		}
	}
	f("--fileoutputtype=7", "--fileoutputworkers=0", "--fileoutputformat=xml", "--fileoutputrotatecount=-1", "--fileoutputrotatecron=x", "--fileoutputcompress=rar")
	f("--psqloutputtype=1", "--psqlworkers=0", "--psqlbatchsize=0", "--psqlbatchdelay=-1s", "--psqlbatchtimeout=0s", "--psqltable=a-b", "--psqlendpoint=mysql://h/")
	f("--nulloutputtype=9", "--nulloutputbatchsize=-1", "--nulloutputbatchdelay=-1s")
}

// TestWarningsBesideErrors: a mistyped name of a variable may explain why an option is
// missing.
func TestWarningsBesideErrors(t *testing.T) {
	const want = "warning: unknown environment variable DNSMONSTER_STDOUTOUTPUTTYP: did you mean DNSMONSTER_STDOUTOUTPUTTYPE?"
	for _, args := range [][]string{{"x", "--pcapfile=x"}, {"x", "--pcapfile=x", "--loglevel=y"}} {
		err := perform(newApp(io.Discard, io.Discard), args, []string{"DNSMONSTER_STDOUTOUTPUTTYP=1"})
		if err == nil || strings.Count(err.Error(), want) != 1 {
			t.Errorf("%q: error %v, want %s", args, err, want)
		}
	}
	const short = "warning: unknown environment variable DNSMONSTER_FORMAT: did you mean DNSMONSTER_STDOUTOUTPUTFORMAT?"
	if err := perform(newApp(io.Discard, io.Discard), []string{"x", "replay"}, []string{"DNSMONSTER_FORMAT=csv"}); err == nil || !strings.Contains(err.Error(), short) {
		t.Errorf("a variable with a short name: error %v, want %s", err, short)
	}
	file := filepath.Join(t.TempDir(), "x.ini")
	if err := os.WriteFile(file, []byte("[general]\nformat = csv\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := perform(newApp(io.Discard, io.Discard), []string{"x", "replay", "--config=" + file}, nil); err == nil || !strings.Contains(err.Error(), "unknown key format: did you mean stdoutoutputformat?") {
		t.Errorf("a key with a short name: error %v", err)
	}
}

// TestPartOfTheConfiguration: commands that need a part of a sensor's file or environment do
// not complain about the rest, but about what nobody knows.
func TestPartOfTheConfiguration(t *testing.T) {
	const typo = "DNSMONSTER_QUEUEMP"
	file := filepath.Join(t.TempDir(), "x.ini")
	write := func(more string) {
		t.Helper()
		const text = "[capture]\ndevname = eth0\n[clickhouse_output]\nclickhouseoutputtype = 1\nclickhousedatabase = d d\n[psql_output]\npsqloutputtype = 1\npsqlendpoint = x\n"
		if err := os.WriteFile(file, []byte(text+more), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := func(command, variable, want string, warns bool) {
		t.Helper()
		var printed strings.Builder
		err := perform(newApp(io.Discard, &printed), append([]string{"x"}, append(strings.Fields(command), "--config="+file)...), []string{"DNSMONSTER_SAMPLERATIO=1:2", variable + "=1"})
		if err != nil {
			printed.WriteString(err.Error())
		}
		text := printed.String()
		if err == nil && variable != typo || strings.Count(text, want) != 1 || strings.Contains(text, "has no effect on") != warns {
			t.Errorf("%s: error %v, printed %s, want %q once; warnings of options without effect: %v", command, err, text, want, warns)
		}
	}
	for _, command := range []string{"clickhouse init", "clickhouse check", "clickhouse ttl 1", "clickhouse sql", "postgres init", "postgres check", "spool ls", "spool export psql", "spool drop psql"} {
		write("")
		f(command, typo, "warning: unknown environment variable DNSMONSTER_QUEUEMP: did you mean DNSMONSTER_QUEUEMB?", false)
		write("psqlworker = 1\n")
		f(command, "DNSMONSTER_QUEUEMB", "unknown key psqlworker: did you mean psqlworkers?", false)
		write("psqlworkers = x\n")
		f(command, "DNSMONSTER_QUEUEMB", `psqlworkers: "x" is not`, false)
	}
	write("")
	f("replay x.pcap", "DNSMONSTER_QUEUEMB", "devname has no effect on replay", true)
}

// TestPendingFeatures: their options are accepted, refused where they switch the feature
// on, and gone from the table once the output is built.
func TestPendingFeatures(t *testing.T) {
	built := outputNames(all.New())
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
		want := fmt.Sprintf("%s: not in this build, but %s=%s switches it on: ", name, option, value)
		if err == nil || !slices.ContainsFunc(strings.Split(err.Error(), "\n"), func(line string) bool {
			return strings.HasPrefix(line, want) && strings.HasSuffix(line, " (from the command line)")
		}) {
			t.Errorf("%s=%s: error %v, want %s", option, value, err, want)
		}
	}
	for _, p := range pending {
		if p.Output != "" {
			f(p.Name, p.Output+"outputtype", "1")
		}
	}
	f("capture filter", "filter", "udp")
}

// TestDefect19NoOutput: run without an output is an error, as in dnsmonster v1.2.5; later
// versions read everything and delivered nothing. Other commands write to stdout.
func TestDefect19NoOutput(t *testing.T) {
	file := packets.TempFile(t, packets.Queries(10))
	for _, args := range [][]string{{"--pcapfile=" + file}, {"run", "--pcapfile", file}} {
		p := program.Start(t, nil, args...)
		r := p.Wait(time.Minute)
		if r.Code != exitUsage || !strings.Contains(r.Log, "no output is switched on") {
			t.Errorf("%q: exit status %d, want %d and the reason:\n%s", args, r.Code, exitUsage, r.Log)
		}
		if got := program.Count(t, p.RecordsFile).Total(); got != 0 {
			t.Errorf("%q: %d records", args, got)
		}
	}
	p := program.Start(t, nil, "replay", file)
	p.Wait(time.Minute).Expect(t, exitOK)
	if got := program.Count(t, p.RecordsFile).Total(); got != 10 {
		t.Errorf("replay without an output writes %d records, want 10", got)
	}
}
