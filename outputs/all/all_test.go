package all

import (
	"os"
	"slices"
	"testing"
)

// notOutputs are the folders beside the outputs' own.
var notOutputs = []string{"all", "columns", "endpoint", "format", "outputtest", "safefs", "secure", "spool", "visible"}

// Every folder under outputs/ is an output on the list, and named like it.
func TestListIsComplete(t *testing.T) {
	var listed []string
	for _, o := range New() {
		listed = append(listed, o.Name())
	}
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	for _, e := range entries {
		if e.IsDir() && !slices.Contains(notOutputs, e.Name()) {
			folders = append(folders, e.Name())
		}
	}
	for _, f := range folders {
		if !slices.Contains(listed, f) {
			t.Errorf("outputs/%s is not on the list in all.go", f)
		}
	}
	for _, name := range listed {
		if !slices.Contains(folders, name) {
			t.Errorf("the output %s has no folder of its name", name)
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
