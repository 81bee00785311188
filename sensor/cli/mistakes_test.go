//go:build linux

package cli

import (
	"bytes"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"

	"dnsmonster-sensor/test/packets"
)

// existing is the list of this machine's interfaces in an error.
var existing = regexp.MustCompile(`\(there are: [^)]*\)`)

// typed are the words of a line, as a shell takes those without quotes but single ones.
func typed(line string) (words []string) {
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}

// TestMistakes: what a person types from habit or by mistake, and all that is printed. Each
// line ends with exit status 1, and nothing is captured or written.
func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	socket, err := net.Listen("unix", "x.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for name, content := range map[string][]byte{"day.pcap": packets.Queries(1), "-x.pcap": packets.Queries(1), "a@b.pcap": packets.Queries(1), "dnsmonster.ini": []byte("[capture]\ndevname = lo\n")} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := func(line string, want ...string) {
		t.Helper()
		var out, log bytes.Buffer
		code := Main(append([]string{"dnsmonster-sensor"}, typed(line)...), &out, &log)
		got := existing.ReplaceAllString(strings.ReplaceAll(log.String(), "dnsmonster-sensor: ", ""), "(there are: ...)")
		if code != exitUsage || out.Len() > 0 || got != strings.Join(want, "\n")+"\n" {
			t.Errorf("%s: exit status %d, prints %q and\n%swant\n%s", line, code, out.String(), got, strings.Join(want, "\n"))
		}
	}
	// Without a command
	f(`-i lo`, `no command: did you mean: dnsmonster-sensor attach lo`)
	f(`-ilo -nn`, `no command: did you mean: dnsmonster-sensor attach lo -n`)
	f(`-i lo port 53`, `no command: did you mean: dnsmonster-sensor attach lo --port=53`)
	f(`-r day.pcap`, `no command: did you mean: dnsmonster-sensor replay day.pcap`)
	f(`-c 5 -i lo`, `no command: did you mean: dnsmonster-sensor attach lo -c 5`)
	f(`-c 5`, `no command: -c is an option of attach, replay and dnstap, such as: dnsmonster-sensor attach eth0 -c 5`)
	f(`-i`, `no command: -i is an option of attach, such as: dnsmonster-sensor attach eth0`)
	f(`-c`, `no command: -c is an option of attach, replay and dnstap, such as: dnsmonster-sensor attach eth0`)
	f(`-r -x.pcap`, `no command: did you mean: dnsmonster-sensor replay ./-x.pcap`)
	f(`a@b.pcap -v`, `unknown command "a@b.pcap": did you mean: dnsmonster-sensor replay a@b.pcap -v`)
	f(`lo -p 5353 -c 1`, `unknown command "lo": did you mean: dnsmonster-sensor attach lo -c 1 --port=5353`)
	f(`lo`, `unknown command "lo": did you mean: dnsmonster-sensor attach lo`)
	f(`any -c 1`, `unknown command "any": did you mean: dnsmonster-sensor attach any -c 1`)
	f(`lo port 5353 or port 53`, `unknown command "lo": did you mean: dnsmonster-sensor attach lo --port=5353,53`)
	f(`day.pcap -v`, `unknown command "day.pcap": did you mean: dnsmonster-sensor replay day.pcap -v`)
	f(`day.pcap --port 53`, `unknown command "day.pcap": did you mean: dnsmonster-sensor replay day.pcap --port=53`)
	f(`dnsmonster.ini`, `unknown command "dnsmonster.ini": did you mean: dnsmonster-sensor run --config=dnsmonster.ini`)
	f(`eth99`, `unknown command "eth99", and no interface or file of this name (see dnsmonster-sensor --help)`)
	f(`-- lo`, `no command: did you mean: dnsmonster-sensor attach lo`)
	f(`unix:///run/x.sock -v`, `unknown command "unix:///run/x.sock": did you mean: dnsmonster-sensor dnstap unix:///run/x.sock -v`)
	f(`tcp://127.0.0.1:6000`, `unknown command "tcp://127.0.0.1:6000": did you mean: dnsmonster-sensor dnstap tcp://127.0.0.1:6000`)
	f(`x.sock`, `unknown command "x.sock": did you mean: dnsmonster-sensor dnstap unix://`+dir+`/x.sock`)
	// dnstap
	f(`dnstap`, `dnstap: name an address, such as: dnsmonster-sensor dnstap unix:///run/dnsmonster.sock`)
	f(`dnstap 127.0.0.1:6000 -c 1`, `dnstap: "127.0.0.1:6000" is not of the form unix://PATH, tcp://HOST:PORT or tls://HOST:PORT: did you mean: dnsmonster-sensor dnstap tcp://127.0.0.1:6000 -c 1`)
	f(`dnstap run/x.sock`, `dnstap: "run/x.sock" is not of the form unix://PATH, tcp://HOST:PORT or tls://HOST:PORT: did you mean: dnsmonster-sensor dnstap unix://`+dir+`/run/x.sock`)
	f(`dnstap lo`, `dnstap: lo is an interface, not an address: did you mean: dnsmonster-sensor attach lo`)
	f(`dnstap day.pcap -v`, `dnstap: day.pcap is a file, not an address: did you mean: dnsmonster-sensor replay day.pcap -v`)
	f(`dnstap `+dir+`/day.pcap`, `dnstap: `+dir+`/day.pcap is a file, not an address: did you mean: dnsmonster-sensor replay `+dir+`/day.pcap`)
	f(`dnstap tcp://[::1]:6000 tcp://[::1]:6000`, `dnstap: tcp://[::1]:6000 is named twice`)
	f(`dnstap tcp://[::1]:6000 --dnstaptypes=clients`, `--dnstaptypes: "clients" is not one of all, client, resolver, auth, forwarder, stub, tool, update (from the command line)`)
	f(`attach unix:///run/x.sock -c 1`, `attach: "unix:///run/x.sock" is the address of a dnstap socket: did you mean: dnsmonster-sensor dnstap unix:///run/x.sock -c 1`)
	f(`replay x.sock`, `replay: x.sock is a socket: did you mean: dnsmonster-sensor dnstap unix://`+dir+`/x.sock`)
	f(`run unix:///run/x.sock --stdoutoutputtype=1`, `run takes no arguments: did you mean: dnsmonster-sensor run --dnstapsocket=unix:///run/x.sock --stdoutoutputtype=1, or: dnsmonster-sensor dnstap unix:///run/x.sock`)
	// A wrong command
	f(`atach lo`, `unknown command "atach": did you mean: dnsmonster-sensor attach lo`)
	f(`-c 5 atach lo`, `unknown command "atach": did you mean: dnsmonster-sensor attach lo -c 5`)
	f(`listen lo`, `unknown command "listen": did you mean: dnsmonster-sensor attach lo`)
	f(`reply day.pcap`, `unknown command "reply": did you mean: dnsmonster-sensor replay day.pcap`)
	f(`chekc`, `unknown command "chekc": did you mean: dnsmonster-sensor check`)
	f(`version`, `unknown command "version": did you mean --version? (see dnsmonster-sensor --help)`)
	f(`psql check`, `unknown command "psql": did you mean: dnsmonster-sensor postgres check`)
	f(`postgres chekc`, `postgres has no command "chekc": did you mean: dnsmonster-sensor postgres check`)
	f(`postgres chekc --psqltable=dns`, `postgres has no command "chekc": did you mean: dnsmonster-sensor postgres check --psqltable=dns`)
	f(`spool drp psql --yes --spooldir /var/spool`, `spool has no command "drp": did you mean: dnsmonster-sensor spool drop psql --yes --spooldir=/var/spool`)
	f(`spool list`, `spool has no command "list": did you mean: dnsmonster-sensor spool ls`)
	f(`spool export2 psql`, `spool has no command "export2": did you mean: dnsmonster-sensor spool export psql`)
	f(`spool frobnicate`, `spool has no command "frobnicate": it has ls, export and drop`)
	f(`config dnsmonster.ini`, `config has no command "dnsmonster.ini": did you mean: dnsmonster-sensor config check dnsmonster.ini`)
	f(`config verify dnsmonster.ini`, `config has no command "verify": did you mean: dnsmonster-sensor config check dnsmonster.ini`)
	f(`check dnsmonster.ini`, `check: dnsmonster.ini is not an interface: did you mean: dnsmonster-sensor config check dnsmonster.ini`)
	f(`check eth99`, `check: no interface eth99 (there are: ...)`)
	f(`run lo`, `run takes no arguments: did you mean: dnsmonster-sensor run --devname=lo, or: dnsmonster-sensor attach lo`)
	f(`run day.pcap --stats 5s`, `run takes no arguments: did you mean: dnsmonster-sensor run --pcapfile=day.pcap --stats=5s, or: dnsmonster-sensor replay day.pcap`)
	f(`run eth99`, `run takes no arguments: remove "eth99"; an interface is named by --devname=eth99, a capture file by --pcapfile=eth99`)
	// What is captured or read
	f(`attach`, `attach: name an interface, such as: dnsmonster-sensor attach eth0 (see dnsmonster-sensor check)`)
	f(`attach -i`, `-i needs a value: -i INTERFACE`)
	f(`attach lo lo`, `attach: interface lo is named twice`)
	f(`attach -i lo any`, `attach: any means all interfaces: name no others`)
	f(`attach --wait 5s lo`, `attach: no interface 5s: if it is the time of --wait, write --wait=5s`)
	f(`attach any --promiscuous`, `attach: --promiscuous needs interfaces by name: any captures only what this host sends and receives`)
	f(`attach day.pcap -c 5`, `attach: day.pcap is a file, not an interface: did you mean: dnsmonster-sensor replay day.pcap -c 5`)
	f(`attach lo port 53 and host 192.0.2.1`, `attach: "port 53 and host 192.0.2.1" is a filter of tcpdump; this build has no filters, only --port=53,853 and --allowdomainsfile=FILE: did you mean: dnsmonster-sensor attach lo --port=53`)
	f(`attach -i lo udp port 53 or port 853 -c 3`, `attach: "udp port 53 or port 853" is a filter of tcpdump; this build has no filters, only --port=53,853 and --allowdomainsfile=FILE: did you mean: dnsmonster-sensor attach lo -c 3 --port=53,853`)
	f(`attach lo '(port 53)'`, `attach: "(port 53)" is a filter of tcpdump; this build has no filters, only --port=53,853 and --allowdomainsfile=FILE: did you mean: dnsmonster-sensor attach lo --port=53`)
	f(`attach lo -p 5353 -c 1`, `attach: -p takes no value; ports are chosen by --port: did you mean: dnsmonster-sensor attach lo -c 1 --port=5353`)
	f(`attach lo -p 53 -p 5353`, `attach: -p takes no value; ports are chosen by --port: did you mean: dnsmonster-sensor attach lo --port=53,5353`)
	f(`attach lo -r day.pcap`, `-r is not an option of attach: a file is read by: dnsmonster-sensor replay day.pcap`)
	f(`replay`, `replay: name a capture file, such as: dnsmonster-sensor replay day.pcap`)
	f(`replay lo -c 5`, `replay: lo is an interface, not a file: did you mean: dnsmonster-sensor attach lo -c 5`)
	f(`replay nofile.pcap`, `replay: open nofile.pcap: no such file or directory`)
	f(`replay .`, `replay: . is a folder: name the files in it`)
	f(`replay -r day.pcap port 53`, `replay: "port 53" is a filter of tcpdump; this build has no filters, only --port=53,853 and --allowdomainsfile=FILE: did you mean: dnsmonster-sensor replay day.pcap --port=53`)
	f(`replay -i lo`, `-i is not an option of replay: an interface is captured by: dnsmonster-sensor attach lo`)
	f(`replay - -`, `replay: the standard input is named twice`)
	// Options
	f(`attach lo --stat 10s`, `unknown option --stat: did you mean --stats?`)
	f(`attach lo --verb`, `unknown option --verb: did you mean --verbose?`)
	f(`attach lo --iface lo`, `unknown option --iface: did you mean --interface?`)
	f(`attach lo --json`, `unknown option --json: did you mean --format=json?`)
	f(`attach lo -json`, `unknown option -json: did you mean --format=json?`)
	f(`attach lo --output json`, `unknown option --output: did you mean --format?`)
	f(`attach lo --number 5`, `unknown option --number: did you mean --count?`)
	f(`attach lo --file day.pcap`, `unknown option --file: a file is read by: dnsmonster-sensor replay FILE`)
	f(`attach lo --stdout 1`, `unknown option --stdout: did you mean one of --stdoutoutputformat, --stdoutoutputgotemplate, --stdoutoutputtype, --stdoutoutputworkercount?`)
	f(`attach lo --zzz`, `unknown option --zzz`)
	f(`attach lo --devname lo`, `--devname is not an option of attach, but of run`)
	f(`replay day.pcap --mode xdp`, `--mode is not an option of replay, but of run and attach`)
	f(`run --devname lo -v`, `-v is not an option of run, but of attach, replay and dnstap`, `no output is switched on: set an output's type, such as --stdoutoutputtype=1 (see dnsmonster-sensor run --help)`)
	f(`attach lo -w x.pcap`, `-w is not an option of attach: records are not packets: write them with > FILE, or with --fileoutputtype=1 --fileoutputpath=FOLDER; packets are written by tcpdump itself`)
	f(`attach lo -s 96`, `-s is not an option of attach: use --snaplen=96`)
	f(`attach lo -X`, `-X is not an option of attach: use --format=json, which has the whole message`)
	f(`attach lo -p --promiscuous`, `-p and --promiscuous mean the opposite: leave one of them out`)
	f(`attach lo -P hush`, `unknown option -P`)
	f(`attach lo -K`, `-K is not an option of attach (see dnsmonster-sensor attach --help)`)
	// Values
	f(`attach lo --port`, `--port needs a value: --port=PORT`)
	f(`attach lo --port 53, 853`, `--port: a number is missing before or after a comma: write 53,853, without spaces (from the command line)`)
	f(`attach lo --port=53-60`, `--port: "53-60" is not a whole number: ranges are not read, write each number: 53,853 (from the command line)`)
	f(`attach lo --port dns`, `--port: "dns" is not a whole number: did you mean 53? (from the command line)`)
	f(`attach lo --port=53,0,70000`, `--port 0: a port is a number from 1 to 65535 (from the command line)`, `--port 70000: a port is a number from 1 to 65535 (from the command line)`)
	f(`attach lo --stats 10`, `--stats: "10" is not a time such as 500ms, 10s or 1m30s: did you mean 10s? (from the command line)`)
	f(`attach lo --grace 5`, `--grace: "5" is not a time such as 500ms, 10s or 1m30s: did you mean 5s? (from the command line)`)
	f(`attach lo --masksize4 /24`, `--masksize4: "/24" is not a whole number: did you mean 24? (from the command line)`)
	f(`attach lo --sampleratio 100`, `--sampleratio: "100" is not of the form a:b, such as 1:100 (from the command line)`)
	f(`attach lo --stdoutoutputtype`, `--stdoutoutputtype needs a value: --stdoutoutputtype=TYPE`)
	f(`attach lo --stdoutoutputtype --stats 10s`, `--stdoutoutputtype: "--stats" is not a whole number: the value is missing, --stats follows (from the command line)`)
	f(`attach lo --format xml`, `--format: unknown format "xml": use one of json, text, json-flat, json-ocsf, csv, csv_no_header, gotemplate (from the command line)`)
	f(`attach lo --format=JSON`, `--format: unknown format "JSON": did you mean json? (from the command line)`)
	f(`attach lo -c 0`, `--count 0: use 1 or more; without this option there is no limit (from the command line)`)
	f(`attach lo -c -1`, `--count -1: use 1 or more; without this option there is no limit (from the command line)`)
	f(`replay day.pcap -c abc`, `--count: "abc" is not a whole number (from the command line)`)
	f(`attach lo --count`, `--count needs a value: --count=NUMBER`)
	// Several at once
	f(`attach lo --ringmb 3 --sampleratio 1 --stats 10 --prot 53 --snaplen 3`, `--stats: "10" is not a time such as 500ms, 10s or 1m30s: did you mean 10s? (from the command line)`, `unknown option --prot: did you mean --port?`, `--sampleratio: "1" is not of the form a:b, such as 1:100 (from the command line)`, `--snaplen 3: use 64 to 65535, or 0 for whole packets (from the command line)`, `--ringmb 3: use 1, 2, 4, ... 1024 (from the command line)`)
	f(`replay --speed=-1 --workers=65 --masksize4 /24`, `--masksize4: "/24" is not a whole number: did you mean 24? (from the command line)`, `--workers 65: use 0 to 64 (from the command line)`, `--defragmb 64: use 65, which is 1 for each worker, to 65536 (from the default)`, `--speed -1: use 0 or more (from the command line)`, `replay: name a capture file, such as: dnsmonster-sensor replay day.pcap`)
	f(`run --devname lo --ringmb 3 --stats 5 --prot 53`, `--stats: "5" is not a time such as 500ms, 10s or 1m30s: did you mean 5s? (from the command line)`, `unknown option --prot: did you mean --port?`, `no output is switched on: set an output's type, such as --stdoutoutputtype=1 (see dnsmonster-sensor run --help)`, `--ringmb 3: use 1, 2, 4, ... 1024 (from the command line)`)
	if os.Geteuid() != 0 {
		t.Skip("needs root: for others the next lines get one more error, that they may not capture")
	}
	f(`attach eth99`, `no interface eth99 (there are: ...)`)
	f(`attach 'wlan*'`, `no interface matches wlan* (there are: ...)`)
	f(`attach lo,eth99`, `no interface lo,eth99 (there are: ...); write several with spaces between them`)
}

// TestSuggestionsKeepSecrets: a line to be copied shows no password, nor an argument that
// may be one because the option before it is unknown.
func TestSuggestionsKeepSecrets(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		_, err := relayRun(nil, args...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: error %v, want %s and no secret", args, err, want)
		}
	}
	f("did you mean: dnsmonster-sensor attach lo '--relaypassword=********'", "atach", "lo", "--relaypassword=hush")
	f("did you mean: dnsmonster-sensor attach lo '--relaypassword=********'", "lo", "--relaypassword", "hush")
	f("did you mean: dnsmonster-sensor attach ...", "atach", "lo", "--relaypasswort", "hush")
	f("unknown option --relaypasswort", "attach", "lo", "port", "53", "--relaypasswort", "hush")
	f("did you mean: dnsmonster-sensor attach ...", "atach", "--relaypasswort", "hush", "lo")
	f("unknown option --relaypasswort", "--relaypasswort", "hush")
	f("unknown option --relaypasswort", "-c", "5", "--relaypasswort", "hush")
	f("did you mean: dnsmonster-sensor spool ls ...", "spool", "list", "--relaypasswort", "hush")
	f("unknown option --relaypasswort", "spool", "--relaypasswort", "hush", "ls")
	f("did you mean: dnsmonster-sensor attach lo '--skipdomainsfile=********'", "atach", "lo", "--skipdomainsfile", "https://me:hush@example.org/list")
	f("did you mean: dnsmonster-sensor attach '********'", "atach", "//me:hush@h/")
}

// TestAttachingTo: what opening waits for is the kernel, or an interface that is awaited.
func TestAttachingTo(t *testing.T) {
	for _, c := range []struct {
		want  string
		names []string
	}{
		{"the kernel to capture on lo", []string{"lo"}},
		{"the kernel to capture on 1 interface", []string{"lo", "eth99"}},
		{"eth98 or eth99* to be there", []string{"eth98", "eth99*"}},
	} {
		if got := attachingTo(c.names); got != c.want {
			t.Errorf("%q: %q, want %q", c.names, got, c.want)
		}
	}
}
