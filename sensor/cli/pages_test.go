//go:build linux

package cli

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/outputs/all"
	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/test/lab"
)

// printed is the output of a command line that does not capture.
func printed(t *testing.T, args ...string) []byte {
	t.Helper()
	var out, log bytes.Buffer
	if code := Main(append([]string{"dnsmonster-sensor"}, args...), &out, &log); code != exitOK || out.Len() == 0 {
		t.Fatalf("%q: exit status %d, %q", args, code, log.String())
	}
	return out.Bytes()
}

// TestHelpOfOptions: --help all has every option once, in its section.
func TestHelpOfOptions(t *testing.T) {
	v, err := values([]string{"run"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text := string(printed(t, "run", "--help", "all"))
	section, at := "", make(map[string]string)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
		case line == "On the command line only":
			section = ""
		}
		for w := range strings.FieldsSeq(line) {
			w, _, _ = strings.Cut(w, "[=")
			if n, ok := strings.CutPrefix(strings.Trim(w, ",:"), "--"); ok && at[n] == "" && strings.HasPrefix(line, "  ") {
				at[n] = section
			}
		}
	}
	for _, o := range v.All() {
		hidden := o.Hidden || strings.HasPrefix(o.Usage, "(not in this build)")
		if got, ok := at[o.Name]; ok == hidden || ok && got != o.Section {
			t.Errorf("--%s stands in [%s] (%v), want [%s]", o.Name, got, ok, o.Section)
		}
	}
}

// helpLines are the most lines that the help of each command may have.
var helpLines = map[string]int{
	"": 35, "run": 60, "attach": 60, "replay": 60, "dnstap": 58, "check": 25, "config": 25, "config check": 25,
	"spool": 15, "spool ls": 30, "spool export": 45, "spool drop": 30,
	"postgres": 15, "postgres init": 40, "postgres check": 35, "postgres sql": 35,
	"clickhouse": 15, "clickhouse init": 60, "clickhouse check": 55, "clickhouse ttl": 50, "clickhouse sql": 70,
}

// TestHelpFitsATerminal: each page has few enough lines, and none is too wide.
func TestHelpFitsATerminal(t *testing.T) {
	p, err := pages(newApp(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range p {
		if helpLines[page.Name] == 0 {
			t.Errorf("no limit for the help of %s", page.Name)
		}
	}
	for name, limit := range helpLines {
		args := append(strings.Fields(name), "--help")
		text := string(printed(t, args...))
		lines := strings.Count(text, "\n")
		t.Logf("%q: %d lines", args, lines)
		if lines > limit {
			t.Errorf("%q: %d lines, want %d at most", args, lines, limit)
		}
		for line := range strings.Lines(text + string(printed(t, append(args, "all")...))) {
			if line = strings.TrimSuffix(line, "\n"); len(line) > 80 || line != strings.TrimRight(line, " ") {
				t.Errorf("%q: %d columns: %q", args, len(line), line)
			}
		}
	}
}

// TestTasksNameOptions: each option in the short help is one of the command, and so is each
// letter.
func TestTasksNameOptions(t *testing.T) {
	p, err := pages(newApp(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`--([a-z0-9]+)|(?m)^  -([a-z]), `)
	for _, page := range p {
		n := 0
		for _, m := range named.FindAllStringSubmatch(page.Tasks, -1) {
			n++
			if !slices.ContainsFunc(page.Options, func(o config.Option) bool {
				return m[1] != "" && (o.Name == m[1] || slices.Contains(o.Aliases, m[1])) || m[2] != "" && o.Short == m[2]
			}) {
				t.Errorf("the help of %s names %s, which is no option of it", page.Name, m[0])
			}
		}
		if page.Tasks != "" && n < 20 {
			t.Errorf("the help of %s names %d options", page.Name, n)
		}
		for _, o := range all.New() {
			line := "      --" + o.Name() + "outputtype 1 --" + o.Name()
			if page.Tasks != "" && o.Name() != "null" && o.Name() != "stdout" && !strings.Contains(string(printed(t, page.Name, "--help")), line) {
				t.Errorf("the help of %s lacks %s", page.Name, line)
			}
		}
	}
}

// TestHelpAboutWords: on every level, before and after the command.
func TestHelpAboutWords(t *testing.T) {
	f := func(want, not string, args ...string) {
		t.Helper()
		text := string(printed(t, args...))
		if !strings.Contains(text, want) || strings.Contains(text, not) {
			t.Errorf("%q: want %q and not %q:\n%.1500s", args, want, not, text)
		}
	}
	f("  --dedup  ", "--dedup true", "run", "--help", "all")
	f("--gctime TIME\n  TIME from which", "EXAMPLES", "run", "--help", "GCtime")
	f("  Environment: DNSMONSTER_GCTIME\n  Commands:    run, attach, replay, dnstap\n", "EXAMPLES", "--help", "--gctime")
	f("  In a file:   gctime = ..., in section [general]\n", "EXAMPLES", "help", "DNSMONSTER_GCTIME")
	f("  Default:     on; --maskecs=false switches it off\n", "EXAMPLES", "--help=maskecs")
	f("--verbose, -v\n", "EXAMPLES", "help", "attach", "-v")
	f("Other options about port: --", "EXAMPLES", "attach", "eth0", "--help", "port")
	f("kafka output: not in this build; its options are accepted for compatibility\n", "--", "--help", "kafka")
	f("kafka output: not in this build", "--", "run", "--help", "kafkaoutputbroker")
	f("capture filter: not in this build", "--psqltable", "help", "filter")
	f("--masksize4 BITS", "--port", "attach", "--help", "mask")
	f("--masksize4 BITS", "--port", "help", "attach", "mask")
	f("--masksize4 BITS", "--port", "--help", "attach", "mask")
	f("--skiptlsverification ", "--port", "postgres", "--help", "tls")
	f("(only: postgres", "--port", "--help", "psql")
	f("\n  --psqlendpoint URI ", "--port", "help", "PostgreSQL")
	f("--spooldir FOLDER", "--port", "spool", "--help", "spooldir")
	f("USAGE\n  dnsmonster-sensor config check [OPTIONS] FILE", "--port", "config", "--help")
	f("USAGE\n  dnsmonster-sensor attach [OPTIONS] INTERFACE...", "--devname", "help", "attach")
	f("USAGE\n  dnsmonster-sensor attach [OPTIONS] INTERFACE...", "--devname", "--help", "attach")
	f("USAGE\n  dnsmonster-sensor attach [OPTIONS] INTERFACE...", "--devname", "attach", "eth0", "--port", "53", "-h")
	f("COMMANDS\n  run  ", "--port", "help")
	f("COMMANDS\n  run  ", "--port", "-h")
	f("\n  spool export  ", "EXAMPLES", "spool", "--help")
	f("--ringmb MEGABYTES", "kafka", "--help", "all")
	f("--yes  ", "--port", "spool", "--help", "all")
	f("--masksize4 BITS", "--port", "--help", "all", "mask")
	f("--version\n  print the version", "EXAMPLES", "help", "version")
	f("COMMANDS\n  run  ", "--port", "help", "help")

	wrong := func(want string, args ...string) {
		t.Helper()
		var out, log bytes.Buffer
		if code := Main(append([]string{"x"}, args...), &out, &log); code != exitUsage || out.Len() > 0 || !strings.HasPrefix(log.String(), "dnsmonster-sensor: "+want) {
			t.Errorf("%q: exit status %d, stdout %q, stderr %q; want %q", args, code, out.String(), log.String(), want)
		}
	}
	wrong(`no option about "kafca": did you mean kafka?`, "--help", "kafca")
	wrong(`no option about "atach": did you mean attach?`, "help", "atach")
	wrong(`no option about "zzzzzz"; try: clickhouse, dnstap, file, psql, stdout, port, `, "--help", "zzzzzz")
	wrong(`attach: no option about "zzzzzz"; try: clickhouse, dnstap, file, `, "attach", "--help", "zzzzzz")
	wrong(`check: no option about "zzzzzz"; try: json`, "check", "--help", "zzzzzz")
	wrong("check: replay is a command: dnsmonster-sensor replay --help explains it", "--help", "check", "replay")
	wrong("unknown option --hlep: did you mean --help?", "attach", "lo", "--hlep")
	wrong("attach has no option about pcapfile, but other commands have: run (see dnsmonster-sensor --help pcapfile)", "attach", "--help", "pcapfile")
	wrong(`no option about "********"`, "--help", "http://user:hush@h")
}

// TestEveryOptionIsFound by its name, by a word of it, and in --help all; options that this
// build lacks are in none of these.
func TestEveryOptionIsFound(t *testing.T) {
	p, err := pages(newApp(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	every := string(printed(t, "--help", "all"))
	shown, lacking := 0, 0
	for _, page := range p {
		for _, o := range page.Options {
			switch line := regexp.MustCompile(`(?m)--` + o.Name + `\b`); {
			case strings.HasPrefix(o.Usage, "(not in this build)"):
				lacking++
				if line.MatchString(every) {
					t.Errorf("--help all has --%s, which this build lacks", o.Name)
				}
			case !o.Hidden:
				shown++
				if !line.MatchString(every) {
					t.Errorf("--help all lacks --%s", o.Name)
				}
				if page.Name == "attach" && !strings.HasPrefix(string(printed(t, "attach", "--help", o.Name)), "--"+o.Name) {
					t.Errorf("attach --help %s does not explain it", o.Name)
				}
			}
		}
	}
	if shown < 150 || lacking < 150 {
		t.Errorf("only %d options are shown, and %d are lacking", shown, lacking)
	}
	for _, page := range []string{"manpage", "bashcompletion", "fishcompletion", "zshcompletion"} {
		text := strings.ReplaceAll(string(printed(t, "--"+page)), `\-`, "-")
		for _, f := range config.Pending(outputNames(all.New())) {
			if f.Output != "" && strings.Contains(text, f.Output+"outputtype") {
				t.Errorf("--%s shows options of the %s", page, f.Name)
			}
		}
		if !strings.Contains(text, "psqloutputtype") {
			t.Errorf("--%s lacks the output psql", page)
		}
	}
}

// TestManPage: the formatters report nothing.
func TestManPage(t *testing.T) {
	lab.Need(t, "man", "mandoc")
	page := filepath.Join(t.TempDir(), "dnsmonster-sensor.8")
	if err := os.WriteFile(page, printed(t, "--manpage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mandoc", "-T", "lint", page).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("mandoc -T lint: %v\n%s", err, out)
	}
	cmd := exec.Command("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=80")
	var warnings bytes.Buffer
	cmd.Stderr = &warnings
	if err := cmd.Run(); err != nil || warnings.Len() > 0 {
		t.Errorf("man --warnings: %v\n%s", err, warnings.String())
	}
	text, err := exec.Command("mandoc", "-T", "ascii", page).Output()
	if err != nil {
		t.Fatal(err)
	}
	plain := strings.ReplaceAll(string(text), "\b", "")
	for _, want := range []string{"EXIT STATUS", "psql_output"} {
		if !strings.Contains(overstrike(string(text)), want) {
			t.Errorf("the page lacks %s:\n%.2000s", want, plain)
		}
	}
}

// overstrike removes bold and underline.
func overstrike(s string) string {
	var out []rune
	for _, r := range s {
		if r == '\b' && len(out) > 0 {
			out = out[:len(out)-1]
			continue
		}
		out = append(out, r)
	}
	return string(out)
}

// completed asks a shell's own completion.
func completed(t *testing.T, cmd *exec.Cmd) []string {
	t.Helper()
	var log bytes.Buffer
	cmd.Stderr = &log
	timer := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	defer timer.Stop()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args[:1], err, log.String())
	}
	var list []string
	for line := range strings.Lines(string(out)) {
		word, _, _ := strings.Cut(strings.TrimRight(line, "\r\n"), "\t")
		list = append(list, word)
	}
	return list
}

// expectWords checks that some words are proposed and others are not.
func expectWords(t *testing.T, line string, got []string, want, not string) {
	t.Helper()
	for w := range strings.FieldsSeq(want) {
		if !slices.Contains(got, w) {
			t.Errorf("%q: %s is not proposed: %q", line, w, got)
		}
	}
	for w := range strings.FieldsSeq(not) {
		if slices.Contains(got, w) {
			t.Errorf("%q: %s is proposed", line, w)
		}
	}
}

// completionCases are command lines, with completions of their last word.
var completionCases = []struct{ line, want, not string }{
	{"dnsmonster-sensor ", "run attach replay check config", "--port"},
	{"dnsmonster-sensor at", "attach", "run"},
	{"dnsmonster-sensor --devn", "--devname", "--port"},
	{"dnsmonster-sensor run --stdout", "--stdoutoutputtype --stdoutoutputformat", "--port"},
	{"dnsmonster-sensor attach --m", "--mode --masksize4 --metricformat", "--devname --skipdomainsfiletype"},
	{"dnsmonster-sensor attach l", "lo", "run"},
	{"dnsmonster-sensor attach a", "any", "run"},
	{"dnsmonster-sensor attach lo --sample", "--sampleratio --samplemode", "--port"},
	{"dnsmonster-sensor replay --po", "--port", "--pcapfile"},
	{"dnsmonster-sensor replay --ri", "", "--ringmb"},
	{"dnsmonster-sensor check --j", "--json", "--port"},
	{"dnsmonster-sensor config c", "check", "run"},
	{"dnsmonster-sensor postgres ", "init check sql", "run"},
	{"dnsmonster-sensor config check ", "", "check run --port"},
	{"dnsmonster-sensor --devname l", "lo", "run --logformat"},
	{"dnsmonster-sensor --devname a", "any", "attach"},
}

// valueCases are those in which the value is part of the option's word.
var valueCases = []struct{ line, want, not string }{
	{"dnsmonster-sensor --devname=l", "lo", "run --logformat"},
	{"dnsmonster-sensor --DevName=", "lo any", "run"},
	{"dnsmonster-sensor --config=r", "", "run replay"},
}

func TestBashCompletion(t *testing.T) {
	lab.Need(t, "bash")
	script := filepath.Join(t.TempDir(), "completion")
	if err := os.WriteFile(script, printed(t, "--bashcompletion"), 0o600); err != nil {
		t.Fatal(err)
	}
	const ask = `source "$1"; line=$2; read -ra COMP_WORDS <<<"${line//=/ = }"; [[ $line == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE=$line; COMP_POINT=${#line}
spec=$(complete -p dnsmonster-sensor); function=${spec#*-F }; ${function%% *}; printf '%s\n' "${COMPREPLY[@]}"`
	for _, c := range append(completionCases, valueCases...) {
		expectWords(t, c.line, completed(t, exec.Command("bash", "--norc", "-uc", ask, "bash", script, c.line)), c.want, c.not)
	}
}

func TestFishCompletion(t *testing.T) {
	t.Parallel()
	lab.Need(t, "fish")
	script := filepath.Join(t.TempDir(), "completion")
	if err := os.WriteFile(script, printed(t, "--fishcompletion"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range completionCases {
		cmd := exec.Command("fish", "--no-config", "-c", "source $argv[1]; complete -C $argv[2]", script, c.line)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		expectWords(t, c.line, completed(t, cmd), c.want, c.not)
	}
	cmd := exec.Command("fish", "--no-config", "-c", "source $argv[1]; complete -C $argv[2]", script, "dnsmonster-sensor --devname=l")
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	expectWords(t, "--devname=l", completed(t, cmd), "--devname=lo", "lo")
}

// TestZshCompletion lets zsh call the script, with a compadd that prints.
func TestZshCompletion(t *testing.T) {
	lab.Need(t, "zsh")
	script := filepath.Join(t.TempDir(), "_dnsmonster-sensor")
	if err := os.WriteFile(script, printed(t, "--zshcompletion"), 0o600); err != nil {
		t.Fatal(err)
	}
	const ask = `script=$1; line=$2
compadd() { local -a list; while (( $# )); do case $1 in -S) shift 2;; -a) list+=("${(@P)2}"); shift 2;; *) list+=("$1"); shift;; esac; done
for w in $list; do [[ $w == $PREFIX* ]] && print -r -- $w; done; return 0 }
compset() { PREFIX=${PREFIX#*=} }
_files() { return 0 }
words=("${(@s: :)line}"); CURRENT=$#words; PREFIX=$words[CURRENT]; source $script`
	for _, c := range append(completionCases, valueCases...) {
		expectWords(t, c.line, completed(t, exec.Command("zsh", "-fc", ask, "zsh", script, c.line)), c.want, c.not)
	}
}

// TestSystemdService: systemd accepts the unit.
func TestSystemdService(t *testing.T) {
	lab.Need(t, "systemd-analyze")
	unit := string(printed(t, "--systemdservice"))
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(unit, "ExecStart=/usr/bin/dnsmonster-sensor run --config=") {
		t.Errorf("the unit starts something else:\n%s", unit)
	}
	path := filepath.Join(t.TempDir(), "dnsmonster-sensor.service")
	unit = strings.Replace(unit, "/usr/bin/dnsmonster-sensor", exe, 1)
	if err := os.WriteFile(path, []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", path).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("dnsmonster-sensor.service:")) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
