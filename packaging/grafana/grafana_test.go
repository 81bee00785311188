package grafana

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the dashboards again")

// TestDashboardsAreCommitted: the files are what the code writes.
func TestDashboardsAreCommitted(t *testing.T) {
	for name, text := range Dashboards() {
		path := filepath.Join("dashboards", name)
		if *update {
			if err := os.WriteFile(path, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(text) {
			t.Errorf("%s differs from what the code writes: go test ./packaging/grafana -update", path)
		}
	}
	if files, err := filepath.Glob("dashboards/*"); err != nil || len(files) != len(Dashboards()) {
		t.Errorf("%q, %v: want %d files", files, err, len(Dashboards()))
	}
}

// read returns a dashboard as Grafana would read it.
func read(t *testing.T, name string) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal(Dashboards()[name], &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// units are those of Grafana that the panels use. Grafana takes any text for a unit.
var units = []string{"short", "percentunit", "reqps", "mps", "pps", "recps", "cps", "ops", "bytes", "bps", "s"}

// TestPanelsCanBeRead: each panel has a title of its own, says what it shows, and has a
// unit; panels do not overlap; each variable that a query names exists.
func TestPanelsCanBeRead(t *testing.T) {
	names := regexp.MustCompile(`\$\{?(\w+)`)
	uids := map[string]string{}
	for name := range Dashboards() {
		d := read(t, name)
		if other := uids[d.UID]; other != "" || d.UID == "" || len(d.UID) > 40 {
			t.Errorf("%s: uid %q (also of %q)", name, d.UID, other)
		}
		uids[d.UID] = name
		titles := map[string]bool{}
		taken := map[[2]int]string{}
		for _, p := range d.Panels {
			for x := range p.GridPos.W {
				for y := range p.GridPos.H {
					cell := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
					if other := taken[cell]; other != "" || cell[0] >= 24 {
						t.Fatalf("%s: %q is where %q is, at %v", name, p.Title, other, cell)
					}
					taken[cell] = p.Title
				}
			}
			if p.Type == "row" {
				continue
			}
			if titles[p.Title] || p.Title == "" || !strings.HasSuffix(p.Description, ".") {
				t.Errorf("%s: %q: title is used twice, or has no description: %q", name, p.Title, p.Description)
			}
			titles[p.Title] = true
			if unit := p.FieldConfig.Defaults.Unit; p.Type != "table" && !slices.Contains(units, unit) {
				t.Errorf("%s: %q has the unit %q", name, p.Title, unit)
			}
			for _, target := range p.Targets {
				// Without GLOBAL, a Distributed table does not answer.
				if sql := target.RawSQL; strings.Count(sql, "(SELECT") != strings.Count(sql, " GLOBAL IN (SELECT") {
					t.Errorf("%s: %q: a subquery without GLOBAL IN", name, p.Title)
				}
				for _, m := range names.FindAllStringSubmatch(target.RawSQL+target.Expr+target.DataSource.UID, -1) {
					if !strings.HasPrefix(m[1], "__") && !hasVariable(d, m[1]) {
						t.Errorf("%s: %q asks for the variable %s, which does not exist", name, p.Title, m[1])
					}
				}
			}
		}
	}
}

func hasVariable(d dashboard, name string) bool {
	for _, v := range d.Templating.List {
		if v.Name == name {
			return true
		}
	}
	return false
}
