//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

type emulator struct {
	accel     string
	cpus      int
	megabytes int
}

// boot runs a kernel until it powers off, and calls line with each line of its
// console.
func (e emulator) boot(ctx context.Context, vmlinuz, initrd string, line func(string)) error {
	cmd := exec.CommandContext(
		ctx, "qemu-system-x86_64", "-accel", e.accel, "-cpu", "max", "-smp", strconv.Itoa(e.cpus), "-m", strconv.Itoa(e.megabytes),
		"-nographic", "-no-reboot", "-net", "none", "-kernel", vmlinuz, "-initrd", initrd,
		"-append", "console=ttyS0 panic=-1 quiet mitigations=off",
	)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start qemu: %w", err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start qemu: %w", err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line(stripEscapes(lines.Text()))
	}
	readErr := lines.Err()
	err = cmd.Wait()
	if ctx.Err() != nil {
		return fmt.Errorf("run qemu: %w", ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("run qemu: %w", err)
	}
	if readErr != nil {
		return fmt.Errorf("read the console: %w", readErr)
	}
	return nil
}

var escape = regexp.MustCompile("\x1b(\\[[0-9;?=]*[A-Za-z]|c)|\r")

// stripEscapes removes escape sequences: the firmware clears the terminal.
func stripEscapes(s string) string { return escape.ReplaceAllString(s, "") }

// report collects the results of tests from the lines of a console.
type report struct {
	ended                   map[string]int // exit status of each job
	passed, failed, skipped []string       // names; of subtests, only those that failed
	missing                 string         // kernel modules
}

var outcome = regexp.MustCompile(`^( *)--- (PASS|FAIL|SKIP): (\S+)`)

func (r *report) line(line string) {
	if rest, found := strings.CutPrefix(line, endMark); found {
		name, status, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(status)
		if err != nil {
			return // a garbled line: the job counts as not ended
		}
		if r.ended == nil {
			r.ended = make(map[string]int)
		}
		r.ended[name] = n
	}
	if rest, found := strings.CutPrefix(line, missingMark); found {
		r.missing = rest
	}
	if m := outcome.FindStringSubmatch(line); m != nil {
		sub, verdict, name := m[1] != "", m[2], m[3]
		switch {
		case verdict == "FAIL":
			r.failed = append(r.failed, name)
		case sub:
		case verdict == "PASS":
			r.passed = append(r.passed, name)
		case verdict == "SKIP":
			r.skipped = append(r.skipped, name)
		}
	}
}

// ok reports whether every job ended with status 0, and at least one test passed.
func (r *report) ok(jobs []job) bool {
	for _, j := range jobs {
		if status, ended := r.ended[j.Name]; !ended || status != 0 {
			return false
		}
	}
	return len(r.failed) == 0 && len(r.passed) > 0
}

func (r *report) summary(jobs []job) string {
	s := fmt.Sprintf("%d passed", len(r.passed))
	if len(r.failed) > 0 {
		s += ", failed: " + strings.Join(r.failed, " ")
	}
	if len(r.skipped) > 0 {
		s += ", skipped: " + strings.Join(r.skipped, " ")
	}
	for _, j := range jobs {
		switch status, ended := r.ended[j.Name]; {
		case !ended:
			s += ", " + j.Name + " did not end"
		case status != 0:
			s += fmt.Sprintf(", %s exited with %d", j.Name, status)
		}
	}
	if r.missing != "" {
		s += ", missing modules: " + r.missing
	}
	return s
}
