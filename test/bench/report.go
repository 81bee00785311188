//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// result has the measurements of one capture.
type result struct {
	traffic
	messages int
	of       map[string]series
}

// markdown returns the result as a table.
func (r *result) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n**%s**: %d messages, %d MB\n\n", r.name, r.messages, r.size/1e6)
	b.WriteString("| | CPU s (least - most) | messages per CPU second | x the reference | wall-clock time, s | memory beyond the file |\n|---|---|---|---|---|---|\n")
	reference := r.of[jobs[0].name].cpu()
	for _, j := range jobs {
		s := r.of[j.name]
		least, most := s.spread()
		fmt.Fprintf(&b, "| %s | %.2f (%.2f - %.2f) | %.2f M | %.1f | %.2f | %d MiB |\n", j.name, s.cpu(), least, most,
			float64(r.messages)/s.cpu()/1e6, reference/s.cpu(), s.wall(), max(0, s.rss()-r.size)>>20)
	}
	b.WriteString("\n")
	for _, p := range pairs {
		fmt.Fprintf(&b, "%s: %.2f times the speed of one, by wall-clock time.\n", p[1], r.of[p[0]].wall()/r.of[p[1]].wall())
	}
	return b.String()
}

// machine describes the machine and the sensor.
func machine(sensor string) string {
	cpu := "unknown processor"
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				cpu = strings.TrimSpace(value)
				break
			}
		}
	}
	var u unix.Utsname
	_ = unix.Uname(&u) // if it fails, the release stays empty
	version := "unknown version"
	if out, err := exec.Command(sensor, "--version").Output(); err == nil {
		version, _, _ = strings.Cut(strings.TrimSpace(string(out)), "\n")
	}
	return fmt.Sprintf("%s, %d processors, Linux %s, %s, on %s. %s.", cpu, runtime.NumCPU(), unix.ByteSliceToString(u.Release[:]),
		runtime.Version(), time.Now().UTC().Format("2006-01-02"), version)
}

// keep prints figures, writes them to the file report, and inserts them between the
// markers of what in the page doc, if there is one.
func keep(figures, report, doc, what string) error {
	fmt.Print(figures)
	if err := os.MkdirAll(filepath.Dir(report), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(report, []byte(figures), 0o644); err != nil {
		return err
	}
	if doc == "" {
		return nil
	}
	return insert(doc, what, figures)
}

// insert replaces the text between the markers of what in a page.
func insert(page, what, text string) error {
	data, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	begin, end := "<!-- figures: "+what+" -->\n", "<!-- end of figures: "+what+" -->\n"
	before, rest, ok := strings.Cut(string(data), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return errors.New(page + ": the markers " + strings.TrimSpace(begin) + " are missing")
	}
	return os.WriteFile(page, []byte(before+begin+"\n"+wrap(strings.TrimSpace(text))+"\n\n"+end+after), 0o644)
}

// wrap breaks lines of prose after at most 100 columns, as pages have them. Lines of
// tables stay as they are.
func wrap(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "|") {
			b.WriteString(line)
			continue
		}
		for len(line) > 101 { // 100, and the line end
			at := strings.LastIndexByte(line[:101], ' ')
			if at < 0 {
				break
			}
			b.WriteString(line[:at] + "\n")
			line = line[at+1:]
		}
		b.WriteString(line)
	}
	return b.String()
}
