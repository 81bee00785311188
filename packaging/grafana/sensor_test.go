//go:build linux

package grafana

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dnsmonster-sensor/test/lab"
)

// TestAllLossesOfInputs: alert and panels count each loss of packets that an input names.
func TestAllLossesOfInputs(t *testing.T) {
	files, err := filepath.Glob("../../sensor/capture/*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`Name: "(\w+)", Kind: capture\.CountsLost`)
	n := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range name.FindAllStringSubmatch(string(text), -1) {
			if n++; !regexp.MustCompile(`\b` + m[1] + `\b`).MatchString(lost) {
				t.Errorf("%s: %s is not among %s", file, m[1], lost)
			}
		}
	}
	if n < 4 {
		t.Errorf("only %d losses found", n)
	}
}

// TestSensorExpressions: Prometheus reads each expression, and each metric, label value
// and meter in it is one that the pages name.
func TestSensorExpressions(t *testing.T) {
	page := pageText(t, "metrics.md") + pageText(t, "architecture.md")
	metric := regexp.MustCompile(`\b(?:dnsmonster_sensor|process)_\w+`)
	value := regexp.MustCompile(`(ledger|outcome|meter)=~?"([^"]+)"`)
	var rules strings.Builder
	rules.WriteString("groups:\n- name: panels\n  rules:\n")
	n := 0
	for _, p := range read(t, "sensor.json").Panels {
		for _, target := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "1m", "$__range", "6h", "$instance", ".*").Replace(target.Expr)
			n++
			fmt.Fprintf(&rules, "  - record: panel:%d\n    expr: '%s'\n", n, strings.ReplaceAll(expr, "'", "''"))
			for _, name := range metric.FindAllString(expr, -1) {
				known := strings.TrimSuffix(strings.TrimSuffix(name, "_sum"), "_count")
				if strings.HasPrefix(name, "process_") {
					known = "process_..."
				}
				if !strings.Contains(page, "`"+known) {
					t.Errorf("%q: docs/metrics.md knows no %s", p.Title, name)
				}
			}
			for _, m := range value.FindAllStringSubmatch(expr, -1) {
				for _, v := range strings.Split(m[2], "|") {
					if !strings.Contains(page, "`"+v+"`") && !strings.Contains(page, v+" messages") && !strings.Contains(page, ", "+v) && !strings.Contains(page, "| "+v) {
						t.Errorf("%q: the pages know no %s %s", p.Title, m[1], v)
					}
				}
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d expressions", n)
	}
	if !strings.Contains(page, lost+"}[10m]") {
		t.Errorf("the alert in docs/metrics.md counts other losses than %s", lost)
	}
	lab.Need(t, "promtool")
	file := filepath.Join(t.TempDir(), "rules.yml")
	for text, good := range map[string]bool{rules.String(): true, rules.String() + "  - record: panel:bad\n    expr: 'sum(rate(x[5m])'\n": false} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("promtool", "check", "rules", file).CombinedOutput(); (err == nil) != good {
			t.Errorf("promtool: %v\n%s", err, out)
		}
	}
}

func pageText(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
