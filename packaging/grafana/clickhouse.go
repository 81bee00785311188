package grafana

import "strings"

const plugin = "grafana-clickhouse-datasource"

var clickhouse = dataSource{plugin, "${clickhouse}"}

// from is a table of the chosen database.
func from(table string) string { return "FROM `${database}`." + table }

// Conditions. The selected servers are named only if not all of them are.
//
// Rates are those of whole intervals: the first one begins before the chosen time, so that
// a curve does not start with a dip.
//
// $__dateFilter(DnsDate) is not used: the plugin writes dates of UTC, while DnsDate is a
// date in the time zone of the server. The time alone selects few granules, as it stands
// first in the tables' order.
const (
	servers     = "$__conditionalAll(Server IN (${server:singlequote}), $server)"
	inIntervals = "%s >= toStartOfInterval($__fromTime, INTERVAL $__interval_s second) AND %s <= $__toTime AND " + servers
	inRange     = "$__timeFilter(%s) AND " + servers
)

func where(condition, column string) string {
	return "WHERE " + strings.ReplaceAll(condition, "%s", column)
}

// series is a time series of columns, each "expression AS name".
func (p panel) series(name string, columns ...string) panel {
	column := timeColumn(name)
	return p.sql("timeseries", "SELECT $__timeInterval("+column+") AS time, "+strings.Join(columns, ", "),
		from(name), where(inIntervals, column), "GROUP BY time", "ORDER BY time")
}

// timeColumn is the name of an aggregate's minute.
func timeColumn(table string) string {
	if table == "DNS_DOMAIN_COUNT" {
		return "t"
	}
	return "timestamp"
}

const rate = "sum(w) / $__interval_s AS rate"

// by is a rate for each value of a label.
func (p panel) by(name, label string) panel {
	column := timeColumn(name)
	p = p.sql("timeseries", "SELECT $__timeInterval("+column+") AS time, "+label+" AS series, "+rate,
		from(name), where(inIntervals, column), "GROUP BY time, series", "ORDER BY time, series")
	p.FieldConfig.Defaults.DisplayName = "${__field.labels.series}"
	return p
}

// byTop is by for a column with many values: the most frequent ones have a series each.
// GLOBAL lets a Distributed table be asked twice.
func (p panel) byTop(name, key, label string) panel {
	column := timeColumn(name)
	top := strings.Join([]string{"SELECT " + key, from(name), where(inRange, column), "GROUP BY " + key, "ORDER BY sum(w) DESC, " + key, "LIMIT ${top}"}, " ")
	return p.by(name, "if("+key+" GLOBAL IN ("+top+"), "+label+", '(others)')")
}

// one is a number over the chosen time.
func (p panel) one(name, expression string) panel {
	return p.sql("table", "SELECT "+expression, from(name), where(inRange, timeColumn(name)))
}

// perSecond divides a sum over the chosen time.
func perSecond(sum string) string {
	return sum + " / greatest(1, dateDiff('second', $__fromTime, $__toTime))"
}

// top lists the most frequent values of a key.
func (p panel) top(name, key, as, count, condition string) panel {
	if condition != "" {
		condition = " AND " + condition
	}
	return p.sql("table", "SELECT "+key+" AS "+as+", sum(w) AS "+count+", sum(w) / sum(sum(w)) OVER () AS share",
		from(name), where(inRange, timeColumn(name))+condition, "GROUP BY "+as, "ORDER BY "+count+" DESC, "+as, "LIMIT ${top}")
}

// linked lets a click on a column search the log for its value.
func (p panel) linked(column, variable string) panel {
	url := "/d/" + searchUID + "?${clickhouse:queryparam}&${database:queryparam}&${server:queryparam}&${__url_time_range}&var-" + variable + "=${__value.text:percentencode}"
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, override{matcher{"byName", column},
		[]property{{"links", []map[string]any{{"title": "Search the log", "url": url}}}}})
	return p
}

func (p panel) sql(kind string, clauses ...string) panel {
	format := 0
	if kind == "table" {
		format = 1
	}
	p.DataSource, p.Interval = &clickhouse, "1m"
	p.Targets = []target{{
		RefID: "A", DataSource: clickhouse, EditorType: "sql", QueryType: kind, Format: format,
		RawSQL: strings.Join(clauses, "\n"), PluginVersion: "4.20.0",
	}}
	return p
}

// named is the name of a number, from a dictionary.
func named(dictionary, column, prefix string) string {
	return "dictGetOrDefault('${database}." + dictionary + "', 'Name', toUInt64(" + column + "), concat('" + prefix + "', toString(" + column + ")))"
}

// address is an address as people write it: IPv4 is stored within IPv6.
func address(column string) string { return "replaceOne(toString(" + column + "), '::ffff:', '')" }

// Variables.

func clickhouseVariables(more ...variable) []variable {
	return append([]variable{
		{Name: "clickhouse", Label: "Data source", Type: "datasource", Query: plugin, Refresh: 1},
		{
			Name: "database", Label: "Database", Description: "Databases that have the sensor's own tables.", Type: "query", DataSource: &clickhouse,
			Query:   "SELECT database FROM system.columns WHERE table = 'DNS_GENERAL_AGGREGATIONS' AND name = 'WeightedSize' ORDER BY database",
			Refresh: 1,
		},
		{
			// The backslash is doubled because the format singlequote leaves it as it is.
			Name: "server", Label: "Sensor", Description: "The sensors by their names (--servername).", Type: "query", DataSource: &clickhouse,
			Query:   "SELECT DISTINCT replaceAll(Server, '\\\\', '\\\\\\\\') AS name FROM `${database}`.DNS_GENERAL_AGGREGATIONS WHERE $__timeFilter(timestamp) ORDER BY name",
			Refresh: 2, Multi: true, IncludeAll: true, Current: &option{true, []string{"All"}, []string{"$__all"}},
		},
	}, more...)
}

// choice is a variable with fixed values, of which the first one is selected.
func choice(name, label, description string, values ...string) variable {
	v := variable{Name: name, Label: label, Description: description, Type: "custom", Query: strings.Join(values, ",")}
	for i, value := range values {
		v.Options = append(v.Options, option{i == 0, value, value})
	}
	v.Current = &v.Options[0]
	return v
}

// text is a variable that is typed.
func text(name, label, description string) variable {
	return variable{Name: name, Label: label, Description: description, Type: "textbox", Query: "", Current: &option{true, "", ""}}
}

// typed is the text of a variable, as SQL. It is encoded so that no text can end the
// literal.
func typed(name string) string { return "decodeURLComponent('${" + name + ":percentencode}')" }
