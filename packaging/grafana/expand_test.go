package grafana

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// query is what Grafana and its plugin put into a panel's query.
type query struct {
	variables map[string]any // a string, or []string of a variable with several values
	from, to  time.Time
	interval  time.Duration
}

// expand does what happens to a query before ClickHouse gets it, in the same order: the
// plugin's front end handles $__conditionalAll, Grafana replaces the variables, the
// plugin's back end the macros.
func (q query) expand(t *testing.T, sql string) string {
	t.Helper()
	sql = q.macros(t, q.replace(t, q.conditionalAll(t, sql)))
	if rest := regexp.MustCompile(`\$[_{\w]`).FindString(sql); rest != "" {
		t.Fatalf("%s is left in %s", rest, sql)
	}
	return sql
}

// all reports whether a variable selects everything, or nothing is selected.
func (q query) all(name string) bool {
	switch v := q.variables[name].(type) {
	case []string:
		text := strings.Join(v, ",")
		return text == "" || text == "$__all"
	case string:
		return v == "" || v == "$__all"
	}
	return false
}

// conditionalAll replaces the macro by its first argument, or by 1=1. The plugin counts
// brackets and commas without regard to quotes, and older ones know the second argument
// only as $name.
func (q query) conditionalAll(t *testing.T, sql string) string {
	t.Helper()
	const macro = "$__conditionalAll("
	for {
		at := strings.LastIndex(sql, macro)
		if at < 0 {
			return sql
		}
		args, end := arguments(sql, at+len(macro)-1)
		if len(args) != 2 || !strings.HasPrefix(args[1], "$") || strings.HasPrefix(args[1], "${") {
			t.Fatalf("%q has the arguments %q", macro, args)
		}
		phrase := args[0]
		if q.all(args[1][1:]) {
			phrase = "1=1"
		}
		sql = sql[:at] + phrase + sql[end:]
	}
}

// arguments splits what is in the brackets that open at a position.
func arguments(sql string, open int) (args []string, end int) {
	depth, start := 0, open+1
	for i := open; i < len(sql); i++ {
		switch c := sql[i]; {
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth == 0 {
				return append(args, strings.TrimSpace(sql[start:i])), i + 1
			}
		case c == ',' && depth == 1:
			args, start = append(args, strings.TrimSpace(sql[start:i])), i+1
		}
	}
	return nil, len(sql)
}

var variablePattern = regexp.MustCompile(`\$(\w+)|\$\{(\w+)(?::(\w+))?\}`)

// replace replaces the variables that exist, as Grafana does.
func (q query) replace(t *testing.T, sql string) string {
	t.Helper()
	return variablePattern.ReplaceAllStringFunc(sql, func(found string) string {
		m := variablePattern.FindStringSubmatch(found)
		value, known := q.variables[m[1]+m[2]]
		if !known {
			return found
		}
		values, several := value.([]string)
		if !several {
			values = []string{value.(string)}
		}
		switch m[3] {
		case "singlequote":
			quoted := make([]string, len(values))
			for i, v := range values {
				quoted[i] = "'" + strings.ReplaceAll(v, "'", `\'`) + "'"
			}
			return strings.Join(quoted, ",")
		case "percentencode":
			if !several {
				return percentEncode(values[0])
			}
		case "":
			if !several {
				return values[0]
			}
		}
		t.Fatalf("%s: the tests do not know this format of this value", found)
		return ""
	})
}

// percentEncode is encodeURIComponent, with !'()* encoded, too.
func percentEncode(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

var macroPattern = regexp.MustCompile(`\$__(\w+)`)

// macros replaces the macros of the plugin's back end that the panels use.
func (q query) macros(t *testing.T, sql string) string {
	t.Helper()
	seconds := func(at time.Time) string { return fmt.Sprintf("toDateTime(%d)", at.Unix()) }
	millis := func(at time.Time) string { return fmt.Sprintf("fromUnixTimestamp64Milli(%d)", at.UnixMilli()) }
	interval := max(int(q.interval.Seconds()), 1)
	known := map[string]struct {
		args int
		text func(arg string) string
	}{
		"fromTime":      {0, func(string) string { return seconds(q.from) }},
		"toTime":        {0, func(string) string { return seconds(q.to) }},
		"interval_s":    {0, func(string) string { return fmt.Sprint(interval) }},
		"timeFilter":    {1, func(c string) string { return c + " >= " + seconds(q.from) + " AND " + c + " <= " + seconds(q.to) }},
		"timeFilter_ms": {1, func(c string) string { return c + " >= " + millis(q.from) + " AND " + c + " <= " + millis(q.to) }},
		"timeInterval": {1, func(c string) string {
			return fmt.Sprintf("toStartOfInterval(toDateTime(%s), INTERVAL %d second)", c, interval)
		}},
	}
	for {
		m := macroPattern.FindStringSubmatchIndex(sql)
		if m == nil {
			return sql
		}
		macro, ok := known[sql[m[2]:m[3]]]
		if !ok {
			t.Fatalf("the tests do not know the macro %s", sql[m[0]:m[1]])
		}
		arg, end := "", m[1]
		if macro.args > 0 {
			args, after := arguments(sql, m[1])
			if len(args) != 1 {
				t.Fatalf("%s has the arguments %q", sql[m[0]:m[1]], args)
			}
			arg, end = args[0], after
		}
		sql = sql[:m[0]] + macro.text(arg) + sql[end:]
	}
}

// TestExpand: the macros as the plugin's own tests have them.
func TestExpand(t *testing.T) {
	q := query{
		variables: map[string]any{"a": []string{`x'y`, "z"}, "b": "it's 100%", "every": []string{"$__all"}, "d": "dns"},
		from:      time.Unix(1000, 0), to: time.Unix(2000, 500e6), interval: 90 * time.Second,
	}
	for sql, want := range map[string]string{
		"$__timeFilter(t)":                                           "t >= toDateTime(1000) AND t <= toDateTime(2000)",
		"$__timeFilter_ms(t)":                                        "t >= fromUnixTimestamp64Milli(1000000) AND t <= fromUnixTimestamp64Milli(2000500)",
		"$__timeInterval(t)":                                         "toStartOfInterval(toDateTime(t), INTERVAL 90 second)",
		"f($__fromTime, $__toTime, $__interval_s second)":            "f(toDateTime(1000), toDateTime(2000), 90 second)",
		"$__conditionalAll(s IN (${a:singlequote}), $a) AND `${d}`":  `s IN ('x\'y','z') AND ` + "`dns`",
		"$__conditionalAll(s IN (${every:singlequote}), $every) = 1": "1=1 = 1",
		"'${b:percentencode}' $d":                                    "'it%27s%20100%25' dns",
	} {
		if got := q.expand(t, sql); got != want {
			t.Errorf("%s\n%s, want\n%s", sql, got, want)
		}
	}
}
