//go:build linux

package grafana

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/sensor/cli"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/program"
)

func TestMain(m *testing.M) { program.Main(m, cli.Main) }

// TestFromCompose: with the settings of packaging/compose, `clickhouse init` makes the
// tables, the sensor fills them, and the panels show what was in its capture.
func TestFromCompose(t *testing.T) {
	const capture = "../../userspace/worker/testdata/udp.pcap"
	c := lab.StartChDB(t, lab.ChDBOptions{Users: map[string]string{"sensor": "secret"}})
	env := composeEnvironment(t, map[string]string{
		"DNSMONSTER_CLICKHOUSEADDRESS": c.Addr, "DNSMONSTER_CLICKHOUSEPASSWORD": "secret", "DNSMONSTER_SPOOLDIR": t.TempDir(),
		"DNSMONSTER_SERVERNAME": "compose",
	})
	run := func(args ...string) string {
		cmd := program.CommandAsTyped(nil, args...)
		cmd.Env = append(cmd.Env, env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run("clickhouse", "init", "--ttl", "0")
	c.Database = "dns"
	run("replay", capture)

	// What the same sensor writes as JSON.
	names, queries, responses := map[string]int{}, 0, 0
	var first, last time.Time
	p := program.Run(t, "replay", capture, "--format=json")
	for _, line := range p.Records() {
		var r struct {
			Timestamp time.Time
			DNS       struct {
				Response bool
				Question []struct{ Name string }
			}
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if first.IsZero() || r.Timestamp.Before(first) {
			first = r.Timestamp
		}
		if r.Timestamp.After(last) {
			last = r.Timestamp
		}
		if r.DNS.Response {
			responses++
			continue
		}
		queries++
		for _, q := range r.DNS.Question {
			name := q.Name
			if name != "." {
				name = strings.TrimSuffix(name, ".")
			}
			names[name]++
		}
	}
	if queries < 10 || responses < 10 || len(names) < 2 {
		t.Fatalf("%d queries, %d responses, %d names", queries, responses, len(names))
	}
	q := standard(c)
	q.from = first.Truncate(time.Minute)
	q.to = q.from.Add(time.Hour)
	q.variables["top"] = "100"
	d := read(t, "overview.json")
	want := []string{}
	for name, n := range names {
		want = append(want, fmt.Sprintf("%s|%d|", name, n))
	}
	got := strings.Split(ask(t, c, q, panelOf(t, d, "Top names").Targets[0].RawSQL), "\n")
	for i := range got {
		got[i] = got[i][:strings.LastIndex(got[i], "|")+1]
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("top names: %q, want %q", got, want)
	}
	perSecond := func(n int) string { return fmt.Sprintf("%.4g", float64(n)/3600) }
	for title, want := range map[string]string{"Queries per second": perSecond(queries), "Responses per second": perSecond(responses)} {
		if got := ask(t, c, q, panelOf(t, d, title).Targets[0].RawSQL); got != want {
			t.Errorf("%s: %s, want %s", title, got, want)
		}
	}
	servers := ask(t, c, q, panelOf(t, d, "Messages by sensor").Targets[0].RawSQL)
	if !strings.Contains(servers, "|compose|") || last.Sub(first) > time.Hour {
		t.Errorf("servers: %s, times from %v to %v", servers, first, last)
	}
	q.variables["rows"] = "1000"
	if list := ask(t, c, q, panelOf(t, read(t, "search.json"), "Messages").Targets[0].RawSQL); strings.Count(list, "\n")+1 != queries+responses {
		t.Errorf("%d messages are found, want %d", strings.Count(list, "\n")+1, queries+responses)
	}
}

// composeEnvironment is the environment of the services tables and sensor, with some
// values replaced. A file has no metrics to serve.
func composeEnvironment(t *testing.T, replaced map[string]string) (env []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../compose", "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, m := range regexp.MustCompile(`(?m)^ +(DNSMONSTER_\w+): ([^#\n]*)`).FindAllStringSubmatch(string(text), -1) {
		name, value := m[1], strings.TrimSpace(m[2])
		if name == "DNSMONSTER_METRICPROMETHEUSENDPOINT" || name == "DNSMONSTER_PROMISCUOUS" {
			continue
		}
		if v, ok := replaced[name]; ok {
			value = v
			seen++
		}
		if strings.Contains(value, "${") {
			t.Fatalf("%s is %s", name, value)
		}
		env = append(env, name+"="+value)
	}
	if seen != len(replaced) || len(env) < 6 {
		t.Fatalf("%q", env)
	}
	return env
}
