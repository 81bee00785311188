package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "dnsmonster-sensor/"

// allowed lists, by the importer's path, the prefixes of our own packages that it may
// import. The rule with the longest prefix of the importer's path applies. Imports run
// one way, so that each part can be read, tested and replaced without those that use it.
var allowed = map[string][]string{
	"":                        {"sensor/cli"},
	"sensor/cli":              {"sensor/config", "sensor/cpus", "sensor/capture", "sensor/lists", "sensor/metrics", "sensor/pipeline", "sensor/signals", "sensor/waiting", "outputs", "userspace", "bpf"},
	"sensor/pipeline":         {"sensor/capture", "sensor/lists", "sensor/metrics", "sensor/signals", "sensor/waiting", "outputs", "userspace"}, // takes values, never a command line
	"sensor/metrics":          {"sensor/lists", "sensor/listener", "outputs", "outputs/endpoint", "outputs/printable", "userspace/account"},
	"packaging":               {}, // tests of the Makefile and of scripts
	"sensor/cpus":             {},
	"sensor/signals":          {},
	"sensor/waiting":          {},
	"sensor/config":           {"outputs", "outputs/endpoint", "outputs/printable", "outputs/secure"},
	"sensor/capture":          {"userspace/packet"},
	"sensor/capture/":         {"sensor/capture", "sensor/listener", "sensor/waiting", "userspace/packet", "userspace/event", "userspace/framestream", "userspace/dnstap"}, // one input, never another: see TestInputsAreReachedByTheCommands
	"sensor/capture/ring":     {"sensor/capture", "sensor/capture/watch", "bpf", "userspace/packet"},
	"sensor/capture/afpacket": {"sensor/capture", "sensor/capture/watch", "userspace/packet"},
	"sensor/capture/dnstap":   {"sensor/capture", "userspace/dnstap", "userspace/framestream", "userspace/packet", "outputs/safefs", "outputs/oserror", "outputs/secure"},
	"sensor/capture/libpcap":  {"sensor/capture", "sensor/capture/watch", "userspace/packet"},
	"sensor/capture/watch":    {},
	"sensor/capture/live":     {"sensor/capture", "bpf", "userspace/packet"}, // chooses among the inputs for interfaces
	"sensor/lists":            {"sensor/waiting", "userspace/domains", "outputs/endpoint", "outputs/secure", "outputs/httpclient"},
	"sensor/listener":         {},
	"bpf":                     {},
	"outputs":                 {"outputs/secure", "outputs/spool", "outputs/safefs", "outputs/format", "userspace/event", "userspace/account", "userspace/domains"},
	"outputs/spool":           {"outputs/safefs", "userspace/event"},
	"outputs/safefs":          {},
	"outputs/endpoint":        {},
	"outputs/secure":          {"outputs/oserror"},
	"outputs/oserror":         {},
	"outputs/httpclient":      {"outputs", "outputs/endpoint", "outputs/secure", "outputs/printable", "userspace/event"},
	"outputs/all":             {"outputs"},
	"outputs/folder":          {"outputs", "outputs/format", "outputs/oserror", "outputs/safefs", "outputs/secure", "userspace/event", "userspace/account"},
	"outputs/dnstap":          {"outputs", "outputs/folder", "outputs/endpoint", "outputs/secure", "userspace/dnstap", "userspace/event", "userspace/framestream", "userspace/account"},
	"outputs/printable":       {},
	"outputs/columns":         {"userspace/event", "userspace/dns", "userspace/packet"},
	"outputs/format":          {"outputs/columns", "userspace/dnstap", "userspace/event", "userspace/dns", "userspace/packet"},
	"outputs/":                {"outputs", "outputs/columns", "outputs/folder", "outputs/format", "outputs/oserror", "outputs/safefs", "outputs/printable", "outputs/endpoint", "outputs/secure", "outputs/httpclient", "userspace/event", "userspace/account"}, // one output, never another
	"userspace/":              {"userspace/packet", "userspace/account"},                                                                                                                                                                                        // a step, never another
	"userspace/packet":        {},
	"userspace/account":       {},
	"userspace/dns":           {},
	"userspace/event":         {"userspace/dns", "userspace/packet"},
	"userspace/domains":       {"userspace/dns"},
	"userspace/mask":          {"userspace/dns"},
	"userspace/tcp":           {"userspace/packet", "userspace/account", "userspace/dns"},
	"userspace/stage":         {"userspace/event", "userspace/account", "userspace/clock"},
	"userspace/worker":        {"userspace"},
	"userspace/framestream":   {},
	"userspace/dnstap":        {"userspace/packet", "userspace/event"},
	"test/bench":              {"test/testlog", "test/chproxy/fault", "sensor/capture", "test/bench/generator", "userspace/packet", "userspace/framestream", "userspace/dnstap"},
	"test/bench/generator":    {},
	"test/capturetest":        {"test/await", "sensor/capture", "sensor/listener", "userspace/packet", "userspace/event"},
	"test/outputtest":         {"test/await", "outputs", "userspace"},
	"test/await":              {},
	"test/testlog":            {},
	"test/chdb":               {},
	"test/chproxy":            {"test/chdb", "test/chproxy/fault"},
	"test/chproxy/fault":      {},
	"test/lab":                {"test/lab/tier", "test/await", "test/testlog", "test/chproxy/fault"},
	"test/oldkernels":         {},
	"test/packets":            {},
	"test/pages":              {"test/await", "test/testlog", "test/lab"}, // never the command line: its test passes that to program.Main
	"test/pty":                {},
	"test/scenes":             {},
	"test/program":            {"test/await", "test/testlog", "test/lab", "bpf", "userspace/account"}, // never the command line: a test passes that to program.Main

	"outputs/clickhouse/table":   {"outputs/clickhouse/schema", "outputs/clickhouse/server", "outputs/columns", "outputs/format", "userspace/event", "userspace/dns"},
	"outputs/clickhouse/server":  {"outputs/oserror", "outputs/printable", "outputs/secure"},
	"outputs/clickhouse/schema":  {"userspace/dns"}, // text; it connects to nothing
	"outputs/clickhouse/cluster": {"outputs", "outputs/clickhouse/server"},
}

// doors lists the packages that may import a third party, by prefix. A third party that
// is not listed may be imported by one folder, whichever that is: a library that only
// one output needs is not listed.
var doors = map[string][]string{
	"github.com/cilium/ebpf":              {"bpf", "sensor/capture/ring", "sensor/capture/live"},
	"github.com/vishvananda/netlink":      {"bpf", "sensor/capture/ring", "sensor/capture/watch", "sensor/capture/live"},
	"github.com/miekg/dns":                {"userspace/dns", "userspace/event", "outputs/format"},
	"github.com/urfave/cli":               {"sensor/cli", "sensor/config", "sensor/lists", "sensor/metrics", "outputs"},
	"github.com/prometheus/client_golang": {"sensor/metrics"},
	"github.com/DataDog/datadog-go":       {"sensor/metrics"},
	"github.com/xrash/smetrics":           {"sensor/config"},
	"github.com/klauspost/compress":       {"sensor/capture/file", "outputs/folder", "outputs/httpclient", "outputs/clickhouse/server"},
	"github.com/pierrec/lz4":              {"sensor/capture/file", "outputs/clickhouse/server"},
	"net/http":                            {"sensor", "outputs"},
	"os":                                  {"sensor", "outputs", "bpf", ""},
	"golang.org/x/sys":                    {"bpf", "sensor", "outputs"},
	"golang.org/x/term":                   {"sensor/cli", "sensor/capture/file", "outputs/stdout"},
}

type goPackage struct {
	ImportPath string
	Imports    []string
	GoFiles    []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,GoFiles", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// own strips the module's name; the root is "".
func own(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, strings.TrimSuffix(module, "/")), "/")
}

func within(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/")
}

func TestImportsRunOneWay(t *testing.T) {
	list := packages(t)
	if len(list) < 10 {
		t.Fatalf("only %d packages found", len(list))
	}
	for _, p := range list {
		importer := own(p.ImportPath)
		rule, best := []string(nil), -1
		for prefix, may := range allowed {
			if fits(importer, prefix) && len(prefix) > best {
				rule, best = may, len(prefix)
			}
		}
		if best < 0 {
			t.Errorf("%s has no rule: add one", importer)
		}
		for _, i := range p.Imports {
			if strings.HasPrefix(i, module) && !fitsAny(own(i), rule) {
				t.Errorf("%q imports %s; it may import %v", importer, own(i), rule)
			}
		}
	}
}

// TestOutputsAreReachedByTheirList: everything that an output adds, commands too, is
// reached through its methods, so that a new one is a folder and a line in outputs/all.
func TestOutputsAreReachedByTheirList(t *testing.T) {
	const door = "outputs/all"
	var list []string
	all := packages(t)
	for _, p := range all {
		if own(p.ImportPath) == door {
			for _, i := range p.Imports {
				if within(own(i), "outputs") && own(i) != "outputs" {
					list = append(list, own(i))
				}
			}
		}
	}
	if len(list) < 4 {
		t.Fatalf("%s imports %v", door, list)
	}
	for _, p := range all {
		importer := own(p.ImportPath)
		for _, i := range p.Imports {
			for _, output := range list {
				if within(own(i), output) && importer != door && !within(importer, output) {
					t.Errorf("%q imports %s: only %s may import an output", importer, own(i), door)
				}
			}
		}
	}
}

// TestInputsAreReachedByTheCommands: an input is a folder of sensor/capture that a
// command opens. The rest of the sensor knows only the contract in sensor/capture,
// and no input knows another one. A folder that inputs share is not an input.
func TestInputsAreReachedByTheCommands(t *testing.T) {
	const contract = "sensor/capture"
	shared := []string{"sensor/capture/watch", "sensor/capture/live"}
	commands := []string{"sensor/cli", "sensor/capture/live"} // live chooses among the inputs for interfaces
	all := packages(t)
	inputs := 0
	for _, p := range all {
		input := own(p.ImportPath)
		if filepath.Dir(input) != contract || slices.Contains(shared, input) {
			continue
		}
		inputs++
		for _, p := range all {
			importer := own(p.ImportPath)
			if within(importer, input) || testHelper(importer) || slices.Contains(commands, importer) {
				continue
			}
			for _, i := range p.Imports {
				if within(own(i), input) {
					t.Errorf("%q imports %s: only a command (%v) may import an input", importer, own(i), commands)
				}
			}
		}
	}
	if inputs < 2 {
		t.Errorf("only %d inputs found in %s", inputs, contract)
	}
}

func TestThirdPartiesStayBehindTheirDoor(t *testing.T) {
	folderOf := make(map[string]string) // by third party without a door: the folder that imports it
	for _, p := range packages(t) {
		importer := own(p.ImportPath)
		if testHelper(importer) {
			continue
		}
		for _, i := range p.Imports {
			party, may := door(i)
			switch {
			case party == "":
			case may != nil && !fitsAny(importer, may):
				t.Errorf("%q imports %s; only %v may", importer, i, may)
			case may == nil && folderOf[party] != "" && !within(importer, folderOf[party]) && !within(folderOf[party], importer):
				t.Errorf("%q and %q import %s: name its doors", folderOf[party], importer, party)
			case may == nil && (folderOf[party] == "" || within(folderOf[party], importer)):
				folderOf[party] = importer
			}
		}
	}
	if len(folderOf) < 4 {
		t.Errorf("only %v are imported without a door", folderOf)
	}
}

// door returns the third party that a package belongs to, "" for none, and the packages
// that may import it, nil if none are listed.
func door(path string) (party string, may []string) {
	for party, may := range doors {
		if path == party || strings.HasPrefix(path, party+"/") {
			return party, may
		}
	}
	if strings.HasPrefix(path, module) || !strings.Contains(strings.SplitN(path, "/", 2)[0], ".") {
		return "", nil // our own, and the standard library
	}
	parts := strings.SplitN(path, "/", 4)
	return strings.Join(parts[:min(3, len(parts))], "/"), nil
}

// unsafeCall matches calls of package os that follow symbolic links, which another user
// may have planted. Only tests, tools for developers and outputs/safefs may use them.
var unsafeCall = regexp.MustCompile(`\bos\.(Create|CreateTemp|OpenFile|WriteFile|Rename|Mkdir|MkdirAll|Chmod|Chtimes|Remove|RemoveAll|Truncate|Symlink|Link)\(`)

// checksLinks lists files that check for symbolic links themselves: they write once, to
// the path that the user named on the command line.
var checksLinks = []string{"sensor/cli/writeconfig.go"}

func TestFilesAreOpenedSafely(t *testing.T) {
	seen := 0
	for _, p := range packages(t) {
		importer := own(p.ImportPath)
		if fitsAny(importer, []string{"outputs/safefs", "test"}) {
			continue
		}
		for _, name := range p.GoFiles {
			path := filepath.Join(importer, name)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			seen++
			if call := unsafeCall.Find(text); call != nil && !slices.Contains(checksLinks, path) {
				t.Errorf("%s calls %s...): use outputs/safefs", path, call)
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d files were looked at", seen)
	}
}

// testHelper reports whether only tests and benchmarks may use a package.
func testHelper(path string) bool { return within(path, "test") }

// fits is like within, but the root package contains no other.
func fits(path, prefix string) bool { return path == prefix || prefix != "" && within(path, prefix) }

func fitsAny(path string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return fits(path, p) })
}
