//go:build linux

package packaging_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dnsmonster-sensor/test/lab"
)

func text(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestCompose: compose accepts the files with what autobuild.sh writes; nothing can be
// reached from another machine; each file, variable and option that they name exists.
func TestCompose(t *testing.T) {
	t.Parallel()
	lab.Need(t, "docker-compose")
	env := filepath.Join(t.TempDir(), ".env")
	if out, ok := autobuild(t, nil, "--interfaces=lo", "--server-name=sensor", "--output", env); !ok {
		t.Fatal(out)
	}
	config := func(env string) (string, error) {
		cmd := exec.Command("docker-compose", "-f", "compose/compose.yaml", "--env-file", env, "config")
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LANG=C.UTF-8"}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	none := filepath.Join(t.TempDir(), "none")
	if err := os.WriteFile(none, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := config(none); err == nil || !strings.Contains(out, "run packaging/autobuild.sh first") {
		t.Errorf("without .env: %v %s", err, out)
	}
	out, err := config(env)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, m := range regexp.MustCompile(`(?m)^    ports:\n((?:    - .*\n)+)`).FindAllStringSubmatch(out, -1) {
		for line := range strings.Lines(m[1]) {
			if !strings.HasPrefix(line, "    - 127.0.0.1:") {
				t.Errorf("a port that everybody can reach: %s", line)
			}
		}
	}
	// Those with the host's network have to be told.
	wants(t, out, "GF_SERVER_HTTP_ADDR: 127.0.0.1", "--web.listen-address=127.0.0.1:9090", "DNSMONSTER_METRICPROMETHEUSENDPOINT: http://127.0.0.1:2112/metrics",
		"command: attach lo\n", `DNSMONSTER_PROMISCUOUS: "true"`, "- 30d", "DNSMONSTER_SERVERNAME: sensor")
	services := regexp.MustCompile(`(?m)^  \w+:$`).FindAllString(out[:strings.Index(out, "\nversion:")], -1)
	if n := strings.Count(out, "network_mode: host"); n != 4 || len(services) < 5 {
		t.Errorf("%d services with the host's network, of %q", n, services)
	}
	if n := strings.Count(out, "healthcheck:"); n != 4 {
		t.Errorf("%d services have a health check; all but the one that ends should", n)
	}
	images := regexp.MustCompile(`(?m)^    image: (\S+)$`).FindAllStringSubmatch(out, -1)
	for _, m := range images {
		if !regexp.MustCompile(`^[\w./-]+:(v?\d+\.\d+[\w.]*|local)$`).MatchString(m[1]) {
			t.Errorf("the image %s has no version", m[1])
		}
	}
	if len(images) != 5 {
		t.Errorf("%d images", len(images))
	}
	top, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	files := regexp.MustCompile(`(?m)^ *(?:- |context: )(`+regexp.QuoteMeta(top)+`[^:\n]*)`).FindAllStringSubmatch(out, -1)
	for _, m := range files {
		if _, err := os.Stat(m[1]); err != nil {
			t.Error(err)
		}
	}
	if len(files) < 8 {
		t.Errorf("only %d files: %q", len(files), files)
	}
	options := text(t, "../docs/configuration.md")
	names := regexp.MustCompile(`DNSMONSTER_\w+`).FindAllString(out, -1)
	for _, name := range names {
		if !strings.Contains(options, "`"+name+"`") {
			t.Errorf("the sensor knows no %s", name)
		}
	}
	if len(names) < 8 {
		t.Errorf("only %d options", len(names))
	}
	// Each setting has an effect.
	compose := text(t, "compose/compose.yaml")
	for line := range strings.Lines(text(t, env)) {
		name, _, found := strings.Cut(line, "=")
		if found && name != "COMPOSE_PROJECT_NAME" && !strings.Contains(compose, "${"+name+":") {
			t.Errorf("compose.yaml does not use %s", name)
		}
	}
	// What Grafana's provisioning reads from its environment.
	for _, file := range []string{"datasources", "dashboards"} {
		for _, m := range regexp.MustCompile(`\$(\w+)`).FindAllStringSubmatch(text(t, "grafana/provisioning/"+file+"/dnsmonster-sensor.yaml"), -1) {
			if m[1] != "NAMES" && !strings.Contains(compose, "\n      "+m[1]+": ") {
				t.Errorf("Grafana has no variable %s", m[1])
			}
		}
	}
	path := regexp.MustCompile(`path: (\S+)`).FindStringSubmatch(text(t, "grafana/provisioning/dashboards/dnsmonster-sensor.yaml"))
	if path == nil || !strings.Contains(compose, "../grafana/dashboards:"+path[1]+":ro") {
		t.Errorf("the dashboards are not at %q", path)
	}
}

func TestComposeMetrics(t *testing.T) {
	t.Parallel()
	lab.Need(t, "promtool")
	if out, err := exec.Command("promtool", "check", "config", "compose/prometheus.yml").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	wants(t, text(t, "compose/prometheus.yml"), `["127.0.0.1:2112"]`)
}

// TestDockerfile: it builds as the Makefile does, with a Go that go.mod accepts.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	file := text(t, "compose/Dockerfile")
	want := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(text(t, "../go.mod"))
	if want == nil {
		t.Fatal("go.mod has no version")
	}
	wants(t, file, "FROM golang:"+want[1]+"-", `RUN make build VERSION="$VERSION"`, `ENTRYPOINT ["/usr/local/bin/dnsmonster-sensor"]`, "COPY --from=build /src/dnsmonster-sensor ")
	wants(t, text(t, "../Makefile"), "-o dnsmonster-sensor .", "\nbuild:")
}

// TestDashboardsUser: the password of the dashboards' user comes from the environment, and
// this user can read, and nothing else. Debian's server is old, and wants another name for
// the outermost element.
func TestDashboardsUser(t *testing.T) {
	t.Setenv("CLICKHOUSE_DASHBOARDS_PASSWORD", "of the dashboards")
	c := lab.StartClickHouse18(t, lab.ClickHouse18Options{})
	for file, folder := range map[string]string{"clickhouse-users.xml": "users.d", "clickhouse-config.xml": "config.d"} {
		to := filepath.Join(c.Dir, folder)
		if err := os.Mkdir(to, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, file), []byte(strings.ReplaceAll(text(t, "compose/"+file), "clickhouse>", "yandex>")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.Restart(t)
	c.Exec(t, "CREATE TABLE t (a UInt8) ENGINE = Memory", "INSERT INTO t VALUES (7)")
	c.User, c.Password = "dashboards", "of the dashboards"
	if got := c.Int(t, "SELECT a FROM t"); got != 7 {
		t.Errorf("%d", got)
	}
	for _, sql := range []string{"INSERT INTO t VALUES (8)", "DROP TABLE t", "CREATE TABLE u (a UInt8) ENGINE = Memory", "TRUNCATE TABLE t"} {
		if _, err := c.Try(sql); err == nil || !strings.Contains(err.Error(), "readonly") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	c.Password = "wrong"
	if _, err := c.Try("SELECT 1"); err == nil {
		t.Error("a wrong password is accepted")
	}
	// The user whom `init` names for the dictionaries needs no password on this machine.
	wants(t, text(t, "compose/compose.yaml"), "--dictionaryuser, dictionaries]")
	c.User, c.Password = "dictionaries", ""
	if got := c.Int(t, "SELECT 2"); got != 2 {
		t.Errorf("%d", got)
	}
	if _, err := c.Try("DROP TABLE t"); err == nil || !strings.Contains(err.Error(), "readonly") {
		t.Error(err)
	}
}
