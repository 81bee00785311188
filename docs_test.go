package main

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pathLike matches words of a page that look like files or folders of the tree.
var pathLike = regexp.MustCompile("`((?:bpf|docs|outputs|packaging|sensor|test|userspace)/[\\w./-]*|[\\w./-]+\\.(?:go|h|c|sh))`")

// TestPagesNameWhatExists: each file and folder that a page names exists. A name without
// a folder, such as `runner.go`, may be anywhere.
func TestPagesNameWhatExists(t *testing.T) {
	var pages, tree []string
	err := filepath.WalkDir(".", func(p string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || p == "build"):
			return filepath.SkipDir
		case strings.HasSuffix(p, ".md"):
			pages = append(pages, p)
		}
		tree = append(tree, p)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	names := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range pathLike.FindAllStringSubmatch(string(text), -1) {
			names++
			name := path.Clean(m[1])
			if !slices.ContainsFunc(tree, func(p string) bool { return p == name || strings.HasSuffix(p, "/"+name) }) {
				t.Errorf("%s names %s, which does not exist", page, m[1])
			}
		}
	}
	if len(pages) < 15 || names < 80 {
		t.Errorf("only %d names in %d pages were looked at", names, len(pages))
	}
}
