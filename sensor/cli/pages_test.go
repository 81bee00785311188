package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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

// TestHelp: every option once, in its section, in lines that fit a terminal; examples are
// not wrapped.
func TestHelp(t *testing.T) {
	v, err := values([]string{"run"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text := string(printed(t, "--help")) + string(printed(t, "run", "--help"))
	section, examples := "", false
	at := make(map[string]string)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		examples = line == "EXAMPLES" || examples && strings.HasPrefix(line, "   ")
		if len(line) > 80 && !examples && strings.Contains(strings.TrimSpace(line), " ") {
			t.Errorf("%d columns: %s", len(line), line)
		}
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[]")
		}
		for w := range strings.FieldsSeq(line) {
			if n, ok := strings.CutPrefix(strings.Trim(w, ",:"), "--"); ok && at[n] == "" && strings.HasPrefix(line, "  ") {
				at[n] = section
			}
		}
	}
	for _, o := range v.All() {
		if got, ok := at[o.Name]; ok == o.Hidden || ok && got != o.Section {
			t.Errorf("--%s stands in [%s] (%v), want [%s]", o.Name, got, ok, o.Section)
		}
	}
	f := func(want, not string, args ...string) {
		t.Helper()
		text := string(printed(t, args...))
		if !strings.Contains(text, want) || strings.Contains(text, not) {
			t.Errorf("%q: want %q and not %q:\n%.1500s", args, want, not, text)
		}
	}
	f("  --dedup  ", "--dedup true", "run", "--help")
	f("(default: 10s)", "EXAMPLES", "run", "--help", "GCtime")
	f("[kafka_output]\n  --kafkaoutputtype TYPE ", "--port", "--help", "run", "kafka")
	f("--packethandlercount NUMBER\n", "--port ", "help", "run", "packethandlercount")
	f("dnsmonster-sensor config check [OPTIONS] FILE", "--port", "config", "--help")
	f("dnsmonster-sensor attach [OPTIONS] INTERFACE...", "--devname", "help", "attach")
	f("COMMANDS\n  run  ", "--port", "help")
	f("\n  spool export  ", "EXAMPLES", "spool", "--help")
	f("--spooldir FOLDER", "--port", "spool", "--help", "spooldir")
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
	for _, want := range []string{"EXIT STATUS", "clickhouse_output"} {
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
