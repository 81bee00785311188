//go:build linux

package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/outputs/all"
	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// TestEveryOutputHasADestination: each output except stdout and null has an option whose
// placeholder shows that it says where records go.
func TestEveryOutputHasADestination(t *testing.T) {
	v, err := values([]string{"run"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var outputs []string
	destinations := make(map[string][]string) // by output
	for _, o := range v.All() {
		if output, ok := strings.CutSuffix(o.Name, "outputtype"); ok && output != "stdout" && output != "null" {
			outputs = append(outputs, output)
		}
		if o.IsDestination() {
			output, _ := strings.CutSuffix(o.Section, "_output")
			destinations[output] = append(destinations[output], o.Name)
			for _, not := range []string{"proxy", "type", "size", "delay", "format", "user", "password", "token", "cert"} {
				if strings.Contains(o.Name, not) {
					t.Errorf("%s is taken for a destination", o.Name)
				}
			}
		}
	}
	for output := range destinations {
		if !slices.Contains(outputs, output) {
			t.Errorf("%s has a destination, and no option for its type", output)
		}
	}
	for _, output := range outputs {
		if len(destinations[output]) == 0 {
			t.Errorf("%s has no destination", output)
			continue
		}
		name := destinations[output][0]
		err := perform(newApp(io.Discard, io.Discard), []string{"x", "run", "--pcapfile=/no/such", "--stdoutoutputtype=1", "--" + name + "=there"}, nil)
		lacking := "this build has no output " + output
		pending := slices.ContainsFunc(config.Pending(outputNames(all.New())), func(f config.Feature) bool { return f.Output == output })
		want := fmt.Sprintf("--%s: output %s is off: switch it on with --%soutputtype=1 (from the command line)", name, output, output)
		if pending {
			want = "--" + name + ": " + lacking + " (from the command line)"
		}
		if err == nil || !slices.Contains(strings.Split(err.Error(), "\n"), want) {
			t.Errorf("%v lacks %q", err, want)
		}
		wantWarning := func(origin string, args []string, environ ...string) {
			t.Helper()
			v, err := values(append([]string{"run"}, args...), environ)
			if err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf("%s has no effect: output %s is off: %soutputtype=1 switches it on (from %s)", name, output, output, origin)
			if pending {
				want = name + " has no effect: " + lacking + " (from " + origin + ")"
			}
			if !slices.Contains(config.Advice(v), want) {
				t.Errorf("%q lacks %q", config.Advice(v), want)
			}
		}
		path := filepath.Join(t.TempDir(), "c.ini")
		if err := os.WriteFile(path, []byte(name+" = there"), 0o600); err != nil {
			t.Fatal(err)
		}
		variable := v.Get(name).Env[0]
		wantWarning("the environment variable "+variable, nil, variable+"=there")
		wantWarning(path+" line 1", []string{"--config=" + path})
	}
}

// TestDestinationOfOutputThatIsOff is an error on the command line: records would go to
// stdout.
func TestDestinationOfOutputThatIsOff(t *testing.T) {
	dir, file := t.TempDir(), packets.TempFile(t, packets.Queries(10))
	p := program.Start(t, nil, "replay", file, "--fileoutputpath="+dir)
	if r := p.Wait(time.Minute); r.Code != exitUsage || !strings.Contains(r.Log, "--fileoutputpath: output file is off: switch it on with --fileoutputtype=1 (from the command line)\n") {
		t.Errorf("exit status %d:\n%s", r.Code, r.Log)
	}
	if b, _ := os.ReadFile(p.RecordsFile); len(b) > 0 {
		t.Errorf("stdout got %q", b)
	}
	secret := filepath.Join(dir, "url")
	lab.ReplaceFile(t, secret, "postgres://h/d")
	if r := program.Start(t, nil, "replay", file, "--psqlendpointfile="+secret).Wait(time.Minute); r.Code != exitUsage || !strings.Contains(r.Log, "--psqlendpointfile: output psql is off") {
		t.Errorf("exit status %d:\n%s", r.Code, r.Log)
	}
	if r := program.Start(t, nil, "replay", file, "--fileoutputtype=0", "--fileoutputpath="+dir).Wait(time.Minute); r.Code != exitUsage {
		t.Errorf("exit status %d:\n%s", r.Code, r.Log)
	}
	if r := program.Start(t, nil, "replay", file, "--natsoutputserver=nats://localhost:4222").Wait(time.Minute); r.Code != exitUsage {
		t.Errorf("a default where the type is not there: exit status %d:\n%s", r.Code, r.Log)
	}
	program.Run(t, "replay", file, "--fileoutputpath=")
	program.Run(t, "replay", file, "--fileoutputpath="+dir, "--fileoutputtype=1")
}

// TestOptionsWithoutEffect are named, with the reason.
func TestOptionsWithoutEffect(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		var environ []string
		for len(args) > 0 && strings.HasPrefix(args[0], "DNSMONSTER_") {
			environ, args = append(environ, args[0]), args[1:]
		}
		v, err := values(args, environ)
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, w := range config.Advice(v) {
			if !strings.Contains(w, "everybody on this machine") {
				list = append(list, strings.TrimSuffix(w, " (from the command line)"))
			}
		}
		if got := strings.Join(list, "; "); got != want {
			t.Errorf("%q:\n got %s\nwant %s", args, got, want)
		}
	}
	f("", "run")
	f("", "replay", "--stdoutoutputformat=csv", "--csvip=text")
	f("", "run", "--stdoutoutputtype=1", "--stdoutoutputformat=gotemplate", "--stdoutoutputgotemplate={{.DNS}}")
	f("stdoutoutputformat has no effect: output stdout is off", "run", "--stdoutoutputformat=csv")
	f("psqlworkers, psqlbatchsize have no effect: output psql is off", "replay", "--psqlbatchsize=7", "--psqlworkers=2")
	f("", "replay", "--psqlbatchsize=7", "--psqloutputtype=1")
	f("stdoutoutputformat has no effect: output stdout is off", "replay", "--stdoutoutputformat=csv", "--psqloutputtype=1")
	f("stdoutoutputgotemplate has no effect: stdoutoutputformat is not gotemplate", "replay", "--stdoutoutputgotemplate={{.DNS}}")
	f("fileoutputgotemplate has no effect: fileoutputformat is not gotemplate", "replay", "--fileoutputtype=1", "--fileoutputgotemplate={{.DNS}}")
	f("fileoutputcompress has no effect: fileoutputrotatecount=0 means no rotation", "replay", "--fileoutputtype=1", "--fileoutputrotatecount=0", "--fileoutputcompress=zstd")
	f("csvip has no effect: no output writes CSV", "replay", "--csvip=text")
	f("dedupwindow has no effect: dedup is off", "replay", "--dedupwindow=1s")
	f("", "replay", "--dedup", "--dedupwindow=1s")
	f("samplemode has no effect: sampleratio is 1:1", "attach", "--samplemode=flow")
	f("spoolmb has no effect: there is no spooldir; spoolfreemb has no effect: there is no spooldir", "replay", "--spoolmb=9", "--spoolfreemb=9")
	f("skipdomainsfile has no effect: no output has type 2 or 4", "replay", "--skipdomainsfile=x")
	f("", "replay", "--skipdomainsfile=x", "--stdoutoutputtype=2")
	f("allowdomainsrefreshinterval has no effect: there is no allowdomainsfile", "replay", "--allowdomainsrefreshinterval=5s")
	f("metricprometheusendpoint has no effect: metricendpointtype names another endpoint", "replay", "--metricendpointtype=", "--metricprometheusendpoint=http://:1/")
	f("", "replay", "--metricprometheusendpoint=http://:1/")
	f("mode has no effect: pcapfile names a file; snaplen has no effect: pcapfile names a file", "run", "--pcapfile=x", "--mode=xdp", "--snaplen=99")
	f("", "attach", "--mode=xdp")
	f("", "attach", "--workers=2", "--stdoutoutputtype=1", "--stdoutoutputworkercount=2")
	f("ordered has no effect: devname names an interface", "run", "--devname=lo", "--ordered", "--workers=2")
	f("speed has no effect: devname names an interface", "run", "--devname=lo", "--speed=2")
	f("writesecrets has no effect: there is no writeconfig", "run", "--writesecrets")
	f("psqltable has no effect: output psql is off", "DNSMONSTER_PSQLTABLE=x", "replay")
}
