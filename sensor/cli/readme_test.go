package cli

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"dnsmonster-sensor/outputs/all"
	"dnsmonster-sensor/sensor/config"
)

// TestReadmeNamesInputsAndOutputs: the table of the first page says of each input
// and output that it is built, and of each feature that this build lacks that it is not.
func TestReadmeNamesInputsAndOutputs(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n## Inputs and outputs\n")
	table, _, _ = strings.Cut(table, "\n## ")
	built, missing := "", ""
	for _, m := range regexp.MustCompile(`(?m)^\| (.*) \| (yes|not yet) \| (.*)\|$`).FindAllStringSubmatch(table, -1) {
		if m[2] == "yes" {
			built += strings.ToLower(m[1]+" "+m[3]) + "\n"
		} else {
			missing += strings.ToLower(m[1]) + ", "
		}
	}
	for _, input := range []string{"`attach ", "`replay ", "pcapng", "gzip", "zstd", "xz", "lz4"} {
		if !strings.Contains(built, input) {
			t.Errorf("the table does not say that %s is built", input)
		}
	}
	names := 0
	var outputs []string
	for _, o := range all.New() {
		outputs = append(outputs, o.Name())
		names++
		if !strings.Contains(built, o.Name()) {
			t.Errorf("the table does not say that output %s is built", o.Name())
		}
	}
	for _, f := range config.Pending(outputs) {
		words := strings.Fields(strings.ToLower(f.Name)) // "kafka output", "capture filter", "AF_PACKET capture"
		word := words[0]
		if word == "capture" {
			word = words[1]
		}
		names++
		if !strings.Contains(missing, word) {
			t.Errorf("the table does not say that %s is missing", f.Name)
		}
		if strings.Contains(built, word) {
			t.Errorf("the table says that %s is built", f.Name)
		}
	}
	if names < 10 {
		t.Errorf("only %d names were looked for", names)
	}
}
