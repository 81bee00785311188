// Package grafana is the text of the dashboards: `go test ./packaging/grafana -update`
// writes them to the folder dashboards. They are made by a program because the panels of a
// dashboard differ in little but their query, and Grafana wants a page of JSON for each.
//
// The queries go through Grafana's plugin for ClickHouse. It replaces the macros
// ($__timeFilter and others), Grafana the variables (${database}). The tests do the same,
// and run every query.
package grafana

import (
	"bytes"
	"encoding/json"
)

// Dashboards returns all dashboards by file.
func Dashboards() map[string][]byte {
	return map[string][]byte{"overview.json": encode(overview()), "search.json": encode(search()), "sensor.json": encode(sensor())}
}

func encode(d dashboard) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(d); err != nil {
		panic(err) // the types hold nothing that JSON lacks
	}
	return b.Bytes()
}

// newDashboard lays the panels out, from left to right.
func newDashboard(uid, title, description, from string, variables []variable, panels []panel) dashboard {
	const tag = "dnsmonster-sensor"
	x, y, height := 0, 0, 0
	for i := range panels {
		p := &panels[i]
		p.ID = i + 1
		if x+p.GridPos.W > 24 {
			x, y, height = 0, y+height, 0
		}
		p.GridPos.X, p.GridPos.Y = x, y
		x, height = x+p.GridPos.W, max(height, p.GridPos.H)
	}
	return dashboard{
		UID: uid, Title: title, Description: description, Tags: []string{tag}, Timezone: "browser", Editable: true,
		GraphTooltip: 1, Refresh: "1m", Time: timeRange{from, "now"}, SchemaVersion: 41,
		Links:      []link{{AsDropdown: false, Icon: "external link", IncludeVars: true, KeepTime: true, Tags: []string{tag}, Title: "", Tooltip: "", Type: "dashboards"}},
		Templating: templating{variables}, Panels: panels,
	}
}

func row(title string) panel {
	closed, none := false, []panel{}
	return panel{Type: "row", Title: title, GridPos: gridPos{H: 1, W: 24}, Collapsed: &closed, Panels: &none}
}

// sized is a panel of so many columns and rows of the grid, which has 24 columns.
func (p panel) sized(w, h int) panel {
	p.GridPos.W, p.GridPos.H = w, h
	return p
}

var zero = 0.0

// lines draws series over time. Stacked series are bars, because a series that has no rows
// in an interval would otherwise be drawn as if it had some.
func lines(title, description, unit string, stacked bool) panel {
	custom := map[string]any{"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": false}
	if stacked {
		custom = map[string]any{"drawStyle": "bars", "lineWidth": 0, "fillOpacity": 80, "stacking": map[string]any{"mode": "normal", "group": "A"}}
	}
	p := panel{Type: "timeseries", Title: title, Description: description}.sized(12, 8)
	p.FieldConfig = &fieldConfig{Defaults: fieldDefaults{Unit: unit, Min: &zero, Color: &fieldColor{"palette-classic-by-name"}, Custom: custom}, Overrides: []override{}}
	p.Options = map[string]any{
		"legend":  map[string]any{"showLegend": true, "displayMode": "list", "placement": "bottom", "calcs": []string{}},
		"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
	}
	return p
}

// number shows one number.
func number(title, description, unit string) panel {
	p := panel{Type: "stat", Title: title, Description: description}.sized(4, 4)
	p.FieldConfig = &fieldConfig{Defaults: fieldDefaults{Unit: unit, NoValue: "no data", Color: &fieldColor{"thresholds"},
		Thresholds: &thresholds{"absolute", []step{{"text", nil}}}}, Overrides: []override{}}
	p.Options = map[string]any{
		"reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
		"orientation":   "auto", "textMode": "auto", "wideLayout": true, "colorMode": "value", "graphMode": "none",
		"justifyMode": "auto", "showPercentChange": false, "percentChangeColorMode": "standard",
	}
	return p
}

// above colours a number that is above a limit.
func (p panel) above(limit float64, color string) panel {
	steps := &p.FieldConfig.Defaults.Thresholds.Steps
	*steps = append(*steps, step{color, &limit})
	return p
}

// table shows rows. units has the unit of columns by name.
func table(title, description string, units ...[2]string) panel {
	p := panel{Type: "table", Title: title, Description: description}.sized(12, 9)
	p.FieldConfig = &fieldConfig{Defaults: fieldDefaults{NoValue: "no data", Custom: map[string]any{"align": "auto", "filterable": true, "cellOptions": map[string]any{"type": "auto"}}}, Overrides: []override{}}
	for _, u := range units {
		p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, override{matcher{"byName", u[0]}, []property{{"unit", u[1]}}})
	}
	p.Options = map[string]any{"showHeader": true, "frameIndex": 0, "cellHeight": "sm"}
	return p
}

// pie shows the parts of a whole: a row each.
func pie(title, description, unit string) panel {
	p := panel{Type: "piechart", Title: title, Description: description}.sized(6, 9)
	p.FieldConfig = &fieldConfig{Defaults: fieldDefaults{Unit: unit, Color: &fieldColor{"palette-classic-by-name"}}, Overrides: []override{}}
	p.Options = map[string]any{
		"reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}, "fields": "", "values": true, "limit": 100},
		"orientation":   "auto", "pieType": "pie", "sort": "desc", "displayLabels": []string{},
		"legend":  map[string]any{"showLegend": true, "displayMode": "table", "placement": "right", "calcs": []string{}, "values": []string{"value", "percent"}},
		"tooltip": map[string]any{"mode": "single", "sort": "none"},
	}
	return p
}
