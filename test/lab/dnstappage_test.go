//go:build linux

package lab

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDnstapPage: the configurations in docs/dnstap.md are those that the scenes run, all
// of them and no others.
func TestDnstapPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/dnstap.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Servers\n")
	section, _, _ = strings.Cut(section, "\n## ")
	shown := make(map[string]bool)
	for _, m := range regexp.MustCompile("(?s)```\\w+\n(.*?)```").FindAllStringSubmatch(section, -1) {
		shown[m[1]] = true
	}
	files, err := dnstapFiles.ReadDir("dnstap")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if regexp.MustCompile(`\.(conf|key|off)$`).MatchString(f.Name()) {
			continue
		}
		text, err := DnstapLines(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if !shown[text] {
			t.Errorf("docs/dnstap.md does not show test/lab/dnstap/%s:\n%s", f.Name(), text)
		}
		delete(shown, text)
	}
	for text := range shown {
		t.Errorf("docs/dnstap.md shows what no scene runs:\n%s", text)
	}
}
