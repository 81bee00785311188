//go:build linux

package grafana

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dnsmonster-sensor/test/lab"
)

const types = "../../build/tools/grafana-types"

// kinds are the kinds of panels, with the file that has their options.
var kinds = map[string]string{"timeseries": "TimeSeries", "table": "Table", "stat": "Stat", "piechart": "PieChart"}

// TestTypes: the dashboards are what Grafana's own types allow: @grafana/schema, checked
// by TypeScript's compiler. Each of some mistakes is found, too.
func TestTypes(t *testing.T) {
	compiler, err := filepath.Abs(types + "/typescript/bin/tsc")
	if err != nil {
		t.Fatal(err)
	}
	lab.Need(t, "node", compiler)
	dir := t.TempDir()
	copyTypes(t, filepath.Join(dir, "node_modules/@grafana/schema"))
	good := declarations(t)
	if out := compile(t, compiler, dir, good); out != "" {
		t.Fatalf("%s", out)
	}
	// All in one program, wherever they can stand: the compiler has to name a line of each.
	bad := good
	mistakes := [][2]string{
		{`"cellHeight": "sm"`, `"cellHeight": "small"`},
		{`"drawStyle": "bars"`, `"drawStyle": "barz"`},
		{`"graphTooltip": 1`, `"graphTooltip": 7`},
		{`"refresh": 2`, `"refresh": "2"`},
		{`"wideLayout": true`, `"wideLayout": 1`},
		{`"fillOpacity": 10`, `"fillOpasity": 10`},
		{`"pieType": "pie"`, `"pieType": "cake"`},
		{`"lastNotNull"`, `5`},
	}
	for _, m := range mistakes {
		if !strings.Contains(bad, m[0]) {
			t.Fatalf("no %s", m[0])
		}
		bad = strings.ReplaceAll(bad, m[0], m[1])
	}
	found := map[string]bool{}
	lines := strings.Split(bad, "\n")
	for _, m := range regexp.MustCompile(`dashboards\.ts\((\d+),`).FindAllStringSubmatch(compile(t, compiler, dir, bad), -1) {
		var n int
		fmt.Sscan(m[1], &n)
		found[strings.TrimSuffix(strings.TrimSpace(lines[n-1]), ",")] = true
	}
	for _, m := range mistakes {
		if !found[m[1]] {
			t.Errorf("%s was not found", m[1])
		}
	}
}

// copyTypes copies Grafana's types. Enumerations of texts become unions of these texts: a
// file of JSON has no names of enumerations.
func copyTypes(t *testing.T, to string) {
	t.Helper()
	enum := regexp.MustCompile(`(?s)export declare enum (\w+) \{(.*?)\n\}`)
	member := regexp.MustCompile(`(\w+) = ("[^"]*"),?\n`)
	from := os.DirFS(types + "/@grafana/schema")
	err := fs.WalkDir(from, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path != "package.json" && !strings.HasPrefix(path, "dist/types/") {
			return err
		}
		text, err := fs.ReadFile(from, path)
		if err != nil {
			return err
		}
		text = enum.ReplaceAllFunc(text, func(whole []byte) []byte {
			m := enum.FindSubmatch(whole)
			members := member.FindAllStringSubmatch(string(m[2])+"\n", -1)
			if len(members) == 0 { // of numbers
				return whole
			}
			var values, names []string
			for _, m := range members {
				values, names = append(values, m[2]), append(names, "type "+m[1]+" = "+m[2]+";")
			}
			return fmt.Appendf(nil, "export type %s = %s;\nexport declare namespace %[1]s { %s }", m[1], strings.Join(values, " | "), strings.Join(names, " "))
		})
		return write(filepath.Join(to, path), string(text))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func write(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// declarations is a program that declares each dashboard, and the options of each panel, with its type.
func declarations(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("import type { Dashboard } from '@grafana/schema';\n")
	for kind, file := range kinds {
		fmt.Fprintf(&b, "import type * as %s from '@grafana/schema/dist/esm/raw/composable/%[1]s/panelcfg/x/%sPanelCfg_types.gen';\n", kind, file)
	}
	n := 0
	declare := func(is string, value any) {
		text, err := json.MarshalIndent(value, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		n++
		fmt.Fprintf(&b, "export const x%d: %s = %s;\n", n, is, text)
	}
	names := []string{}
	for name := range Dashboards() {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		declare("Dashboard", json.RawMessage(Dashboards()[name]))
		for _, p := range read(t, name).Panels {
			if p.Type == "row" {
				continue
			}
			if kinds[p.Type] == "" {
				t.Fatalf("%q is a panel of the kind %s, which the test does not know", p.Title, p.Type)
			}
			declare(p.Type+".Options", p.Options)
			if custom := p.FieldConfig.Defaults.Custom; custom != nil {
				declare("Partial<"+p.Type+".FieldConfig>", custom)
			}
		}
	}
	return b.String()
}

func compile(t *testing.T, compiler, dir, text string) string {
	t.Helper()
	const config = `{"compilerOptions": {"strict": true, "noEmit": true, "module": "esnext", "moduleResolution": "bundler", "target": "es2022", "lib": ["es2022"], "types": [], "skipLibCheck": true}, "files": ["dashboards.ts"]}`
	for name, text := range map[string]string{"dashboards.ts": text, "tsconfig.json": config} {
		if err := write(filepath.Join(dir, name), text); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("node", compiler, "--pretty", "false", "-p", dir).CombinedOutput()
	if err != nil && len(out) == 0 {
		t.Fatal(err)
	}
	return string(out)
}
