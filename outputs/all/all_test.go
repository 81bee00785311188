package all

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// opens is what tells an output from the packages beside it.
var opens = regexp.MustCompile(`(?m)^func \(.*\) Open\((?:\w+ )?context\.Context\) \(outputs\.Writer, error\)`)

// outputsIn are the folders below dir whose package is an output.
func outputsIn(t *testing.T, dir string) (folders []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "testdata" { // the documentation's example
			return filepath.SkipDir
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if folder, _ := filepath.Rel(dir, filepath.Dir(path)); opens.Match(text) && !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return folders
}

// Every output is on the list, in a folder of its name, and has passed through
// outputtest: an output is a package whose Open makes a writer.
func TestListIsComplete(t *testing.T) {
	folders := outputsIn(t, "..")
	var listed []string
	for _, o := range New() {
		listed = append(listed, o.Name())
		if !slices.Contains(folders, o.Name()) {
			t.Errorf("the output %s has no folder of its name", o.Name())
		}
	}
	for _, folder := range folders {
		if !slices.Contains(listed, folder) {
			t.Errorf("outputs/%s is not on the list in all.go", folder)
		}
		tests, err := filepath.Glob(filepath.Join("..", folder, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(tests, func(path string) bool {
			text, err := os.ReadFile(path)
			return err == nil && strings.Contains(string(text), "outputtest.Run(")
		}) && folder != "null" { // which keeps nothing that could be looked at
			t.Errorf("outputs/%s does not prove its promises with outputtest.Run", folder)
		}
	}
}

// Option names and sections are what users write: no two outputs share one.
func TestFlagsAreDistinct(t *testing.T) {
	seen := make(map[string]string)
	for _, o := range New() {
		for _, f := range o.Flags() {
			for _, name := range f.Names() {
				if other, ok := seen[name]; ok {
					t.Errorf("--%s belongs to %s and %s", name, other, o.Name())
				}
				seen[name] = o.Name()
			}
		}
	}
	if len(seen) == 0 {
		t.Error("no flags at all")
	}
}
