//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// longest are the packages that take longest, in this order. They start first, so that at
// the end no processor waits for one of them. build/test-times.txt has the times.
var longest = []string{
	"test/scenes", "bpf", "outputs/clickhouse", "test/pages", "sensor/cli", "test/lab", "sensor/capture/dnstap", "outputs/dnstap", "outputs/psql",
}

const module = "dnsmonster-sensor/"

// inOrder returns the packages that match patterns, the longest first.
func inOrder(patterns []string) ([]string, error) {
	cmd := exec.Command("go", append([]string{"list"}, patterns...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w", strings.Join(patterns, " "), err)
	}
	packages := strings.Fields(string(out))
	slices.SortStableFunc(packages, func(a, b string) int { return rank(a) - rank(b) })
	return packages, nil
}

// rank is a package's place among the longest; all others share the last one.
func rank(path string) int {
	if at := slices.Index(longest, strings.TrimPrefix(path, module)); at >= 0 {
		return at
	}
	return len(longest)
}
