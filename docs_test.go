//go:build linux

package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"dnsmonster-sensor/test/pages"
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

// prose calls f for each line of each page that is outside fenced blocks.
func prose(t *testing.T, f func(page string, line int, text string)) {
	t.Helper()
	files, err := pages.Files(".")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, page := range files {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		_, lines := pages.Blocks(string(text))
		for i, line := range lines {
			f(page, i+1, line)
		}
		seen += len(lines)
	}
	if seen < 3000 {
		t.Errorf("only %d lines were looked at", seen)
	}
}

// mayBeLong matches lines that cannot be wrapped: tables, headings, definitions of links,
// comments, and a single word.
var mayBeLong = regexp.MustCompile(`^\s*(?:\||#|\[[^]]+\]: |<!--|(?:[-*] )?\S+$)`)

func TestPagesAreWrapped(t *testing.T) {
	prose(t, func(page string, line int, text string) {
		if n := utf8.RuneCountInString(text); n > 100 && !mayBeLong.MatchString(text) {
			t.Errorf("%s:%d: %d characters: wrap prose at 100", page, line, n)
		}
	})
}

// TestPagesHaveNoIndentedCode: a block needs a fence, which says whether it is commands.
func TestPagesHaveNoIndentedCode(t *testing.T) {
	item := regexp.MustCompile(`^\s*(?:[-*+]|\d+\.) `)
	var list, blank bool
	prose(t, func(page string, line int, text string) {
		indented := strings.HasPrefix(text, "    ") || strings.HasPrefix(text, "\t")
		switch {
		case line == 1:
			list, blank = false, true
		case strings.TrimSpace(text) == "":
			blank = true
			return
		case item.MatchString(text) && !(indented && !list):
			list = true
		case !strings.HasPrefix(text, " "):
			list = list && !blank
		}
		if indented && !list && blank {
			t.Errorf("%s:%d: an indented block: use a fence, with sh, console, text, ini, ...", page, line)
		}
		blank = false
	})
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`^#+ +(.*?)\s*$`)
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinksLeadSomewhere: the files and headings that pages link to exist.
func TestLinksLeadSomewhere(t *testing.T) {
	anchors := make(map[string]bool) // PAGE#SLUG
	prose(t, func(page string, _ int, text string) {
		if m := heading.FindStringSubmatch(text); m != nil {
			slug := strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(link.ReplaceAllString(m[1], "]")), ""), " ", "-")
			name := page + "#" + slug
			for n := 1; anchors[name]; n++ {
				name = fmt.Sprintf("%s#%s-%d", page, slug, n)
			}
			anchors[name] = true
		}
	})
	seen := 0
	prose(t, func(page string, line int, text string) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			seen++
			file, anchor, _ := strings.Cut(m[1], "#")
			target := page
			if file != "" {
				target = path.Join(path.Dir(page), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s:%d: the link to %s leads nowhere", page, line, m[1])
			} else if anchor != "" && !anchors[target+"#"+anchor] {
				t.Errorf("%s:%d: %s has no heading #%s", page, line, target, anchor)
			}
		}
	})
	if seen < 50 {
		t.Errorf("only %d links were looked at", seen)
	}
}

// TestReadingOnListsEveryPage: a reader of README finds each page of docs.
func TestReadingOnListsEveryPage(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(string(text), "\n## Reading on\n")
	if !found {
		t.Fatal(`README.md has no section "Reading on"`)
	}
	list, _, _ = strings.Cut(list, "\n## ")
	files, err := filepath.Glob("docs/*.md")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d pages, %v", len(files), err)
	}
	for _, page := range append(files, "MIGRATING.md", "CONTRIBUTING.md") {
		if !strings.Contains(list, "("+page+")") {
			t.Errorf(`README.md, "Reading on", does not list %s`, page)
		}
	}
}
