package all

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// openMethod matches the method that makes a package an output.
var openMethod = regexp.MustCompile(`(?m)^func \(.*\) Open\((?:\w+ )?context\.Context\) \(outputs\.Writer, error\)`)

// outputsIn returns the folders below dir whose package is an output.
func outputsIn(t *testing.T, dir string) (folders []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "testdata" { // the example of the documentation
			return filepath.SkipDir
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if folder, _ := filepath.Rel(dir, filepath.Dir(path)); openMethod.Match(text) && !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return folders
}

// TestListIsComplete: every output is listed, lives in a folder of its name, and is
// tested with outputtest. An output is a package with a method Open that returns a
// writer.
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
		if _, err := os.Stat(filepath.Join("..", folder, "README.md")); err != nil {
			t.Errorf("outputs/%s needs a README.md: %v", folder, err)
		}
		tests, err := filepath.Glob(filepath.Join("..", folder, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(tests, func(path string) bool {
			text, err := os.ReadFile(path)
			return err == nil && strings.Contains(string(text), "outputtest.Run(")
		}) && folder != "null" { // it keeps nothing to compare
			t.Errorf("outputs/%s is not tested with outputtest.Run", folder)
		}
	}
}

// TestFlagsAreDistinct: no two outputs share an option.
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
