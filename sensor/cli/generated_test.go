//go:build linux

package cli

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dnsmonster-sensor/outputs/all"
	"dnsmonster-sensor/sensor/config"
)

var update = flag.Bool("update", false, "write the generated files again")

// TestGeneratedFiles: generated files agree with the declarations.
func TestGeneratedFiles(t *testing.T) {
	app := newApp(io.Discard, io.Discard)
	p, err := pages(app)
	if err != nil {
		t.Fatal(err)
	}
	var doc, sample bytes.Buffer
	config.Markdown(&doc, app.Name, p, config.Pending(outputNames(all.New())))
	v, err := values([]string{"run"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	config.WriteINI(&sample, v, false)
	for path, want := range map[string][]byte{
		"../../docs/configuration.md": doc.Bytes(), "../../packaging/config-sample.ini": sample.Bytes(), "../../MIGRATING.md": migrating(t),
		"../../docs/columns.md":          columnsPage(t),
		"../../docs/adding-an-output.md": examplePage(t, "../../docs/adding-an-output.md", "../../test/outputtest/testdata/collector/collector.go"),
		"../../docs/adding-an-input.md":  examplePage(t, "../../docs/adding-an-input.md", "../../test/capturetest/testdata/tee/tee.go", "newinput_test.go#teeCommand"),
	} {
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is stale (%v): run go generate ./sensor/cli", path, err)
		}
	}
}

// migrating is MIGRATING.md with a fresh table of changes.
func migrating(t *testing.T) []byte {
	t.Helper()
	page, err := os.ReadFile("../../MIGRATING.md")
	if err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	config.ChangesTable(&table)
	return between(t, page, "changes", table.Bytes())
}

// examplePage is a page with its examples as they are in files that tests compile and
// run: path, or path#function for a single function.
func examplePage(t *testing.T, path string, sources ...string) []byte {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range sources {
		source, function, part := strings.Cut(source, "#")
		code, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(source)
		if part {
			name = function
			from := bytes.Index(code, []byte("\nfunc "+function+"("))
			body, _, ok := bytes.Cut(code[max(from, 0):], []byte("\n}\n"))
			if from < 0 || !ok {
				t.Fatalf("%s has no function %s", source, function)
			}
			code = append(bytes.Clone(body[1:]), "\n}\n"...)
		}
		page = between(t, page, name, slices.Concat([]byte("```go\n"), code, []byte("```\n")))
	}
	return page
}

// between puts a table or an example into a page, between the comments that mark its place.
func between(t *testing.T, page []byte, name string, table []byte) []byte {
	t.Helper()
	from, to := "<!-- "+name+":", "<!-- end of "+name+" -->\n"
	head, rest, ok1 := bytes.Cut(page, []byte(from))
	comment, rest, ok2 := bytes.Cut(rest, []byte("-->\n"))
	_, tail, ok3 := bytes.Cut(rest, []byte(to))
	if !ok1 || !ok2 || !ok3 {
		t.Fatalf("the page has no place for %s", name)
	}
	return slices.Concat(head, []byte(from), comment, []byte("-->\n\n"), table, []byte("\n"+to), tail)
}
