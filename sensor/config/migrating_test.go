package config

import (
	"os"
	"strings"
	"testing"
)

// TestMigratingNamesWhatIsAbsent: MIGRATING.md has a row for each feature that this build
// lacks, and none for others.
func TestMigratingNamesWhatIsAbsent(t *testing.T) {
	text, err := os.ReadFile("../../MIGRATING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## What this build lacks\n")
	section, _, _ = strings.Cut(section, "\n## ")
	features := map[string]bool{} // by the word that its row has; true: it has one
	for _, f := range Pending(nil) {
		word := f.Output
		if word == "" {
			word = f.rows[0].name
		}
		features[word] = false
	}
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || !strings.Contains(cells[2], "not in this build") {
			continue
		}
		found := false
		for word := range features {
			if strings.Contains(strings.ToLower(cells[1]), word) {
				features[word], found = true, true
			}
		}
		if !found {
			t.Errorf("MIGRATING.md says that the build lacks%s, which it has", cells[1])
		}
	}
	for word, named := range features {
		if !named {
			t.Errorf("MIGRATING.md does not say that the build lacks %s", word)
		}
	}
	if len(features) == 0 {
		t.Error("the build lacks nothing: remove the section")
	}
}
