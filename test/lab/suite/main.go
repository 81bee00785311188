//go:build linux

// Suite runs go test for one tier of tests: packages side by side, those that take longest
// first, and then the tests that need the machine for themselves (tier.Alone). It prints
// how long each package took, the slowest tests, the skipped tests with their reasons,
// and how many are left to other tiers.
//
//	go run ./test/lab/suite [options] [PACKAGE...]
//
// It runs in the module's root. It writes the output of go test to build/test.json, and
// the times of all packages and tests to build/test-times.txt. The exit status is 0
// when all tests passed. With CI=true a test that is skipped must be in .ci/skips.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"dnsmonster-sensor/test/lab/tier"
)

type options struct {
	tier     string
	race     bool
	run      string
	timeout  time.Duration
	budget   time.Duration
	parallel int
	packages []string
	tags     string
}

func main() {
	var o options
	flag.StringVar(&o.tier, "tier", "", "`name` of the tier: all, soak or large; none is that of make test")
	flag.BoolVar(&o.race, "race", false, "with the race detector")
	flag.StringVar(&o.run, "run", "", "only tests whose names match this `pattern`")
	flag.DurationVar(&o.timeout, "timeout", 20*time.Minute, "how long one package may take")
	flag.DurationVar(&o.budget, "budget", 0, "how long all may take on two idle processors; beyond it there is a warning")
	flag.IntVar(&o.parallel, "parallel", 2*runtime.NumCPU(), "how many tests of a package run at a time: most of them wait")
	flag.Parse()
	if o.packages = flag.Args(); len(o.packages) == 0 {
		o.packages = []string{"./..."}
	}
	ok, err := suite(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "suite:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// tagged is the package whose tests need cgo and a tag, which make a binary that depends
// on a library.
const tagged = "sensor/capture/libpcap"

func suite(o options) (ok bool, err error) {
	begin := time.Now()
	if err := os.MkdirAll("build", 0o755); err != nil {
		return false, err
	}
	log, err := os.Create("build/test.json")
	if err != nil {
		return false, err
	}
	defer log.Close()
	allowed, err := os.ReadFile(".ci/skips")
	if err != nil {
		return false, err
	}
	packages, err := inOrder(o.packages)
	if err != nil {
		return false, err
	}
	r := newReport(os.Stdout)
	atATime := runtime.NumCPU() + 1
	if o.tier == tier.Soak || o.tier == tier.Large {
		atATime, o.parallel = 1, 1
	}
	ok, cpu, err := o.goTest(r, log, tier.SkipAlone, atATime, o.parallel, o.run, packages)
	if err != nil {
		return false, err
	}
	if slices.Contains(packages, module+tagged) {
		with := o
		with.tags = "libpcap"
		passed, more, err := with.goTest(r, log, tier.SkipAlone, 1, o.parallel, o.run, []string{"./" + tagged})
		if err != nil {
			return false, err
		}
		ok, cpu = ok && passed, cpu+more
	}
	if pattern, packages := r.alone(); len(packages) > 0 {
		fmt.Println("alone:")
		passed, more, err := o.goTest(r, log, "", 1, 1, pattern, packages)
		if err != nil {
			return false, err
		}
		ok, cpu = ok && passed, cpu+more
	}
	if err := r.writeTimes("build/test-times.txt"); err != nil {
		return false, err
	}
	r.slowest(15)
	if unexpected := r.skips(strings.Fields(string(allowed))); len(unexpected) > 0 && os.Getenv("CI") == "true" {
		fmt.Printf("skipped, and not in .ci/skips:\n  %s\n", strings.Join(unexpected, "\n  "))
		ok = false
	}
	took := time.Since(begin)
	fmt.Printf("%s in %.0f s, %.0f s of processor time; build/test-times.txt has all times\n", r.sum(), took.Seconds(), cpu.Seconds())
	if o.budget > 0 && took > o.budget {
		fmt.Printf("WARNING: the budget of this tier is %s on two quiet processors\n", o.budget)
	}
	return ok && r.complete(), nil
}

// goTest runs tests, and passes the output of go test to the report. aloneValue is that
// of tier.AloneVariable. cpu is the processor time of the tests and their children.
func (o options) goTest(r *report, log io.Writer, aloneValue string, packagesAtATime, parallel int, run string, packages []string) (ok bool, cpu time.Duration, err error) {
	args := []string{
		"test", "-json", "-count=1", "-vet=off", "-timeout=" + o.timeout.String(), // make runs go vet by itself: it finds more
		"-p=" + strconv.Itoa(packagesAtATime), "-parallel=" + strconv.Itoa(parallel),
	}
	if o.race {
		args = append(args, "-race")
	}
	if o.tags != "" {
		args = append(args, "-tags="+o.tags)
	}
	if run != "" {
		args = append(args, "-run="+run)
	}
	cmd := exec.Command("go", slices.Concat(args, packages)...)
	cmd.Env = append(os.Environ(), tier.Variable+"="+o.tier, tier.AloneVariable+"="+aloneValue)
	if o.race && os.Getenv("GORACE") == "" {
		// The detector waits for a second at the end of each process, and scenes start
		// hundreds.
		cmd.Env = append(cmd.Env, "GORACE=atexit_sleep_ms=50")
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false, 0, err
	}
	if err := cmd.Start(); err != nil {
		return false, 0, err
	}
	readErr := r.read(io.TeeReader(out, log))
	waitErr := cmd.Wait()
	if readErr != nil {
		return false, 0, readErr
	}
	return waitErr == nil, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}
