package cpus

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Allowed returns the processors that this process may use.
func Allowed() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("read which processors this process may use: %w", err)
	}
	var list []int
	for cpu := range len(set) * strconv.IntSize {
		if set.IsSet(cpu) {
			list = append(list, cpu)
		}
	}
	return list, nil
}

// Pin binds the calling thread to a processor. The goroutine must be locked to it.
func Pin(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("bind a thread to processor %d: %w", cpu, err)
	}
	return nil
}

// quota returns the lowest limit of the control groups that this process is in: those of
// its own group and of all above, in either version of control groups.
func quota(root string) float64 {
	limit := math.Inf(1)
	paths := groups(root)
	mounts, _ := os.ReadFile(filepath.Join(root, "/proc/self/mountinfo"))
	for line := range strings.Lines(string(mounts)) {
		// number parent device root mountpoint options ... - type source superoptions
		left, right, _ := strings.Cut(line, " - ")
		at, of := strings.Fields(left), strings.Fields(right)
		if len(at) < 5 || len(of) < 3 {
			continue
		}
		version1 := of[0] == "cgroup" && slices.Contains(strings.Split(of[2], ","), "cpu")
		if !version1 && of[0] != "cgroup2" {
			continue
		}
		path, ok := paths[version1]
		if !ok {
			continue
		}
		// A container sees a part of the tree; its path may be that of the host.
		inside, ok := strings.CutPrefix(path, strings.TrimSuffix(at[3], "/"))
		if !ok || inside != "" && inside[0] != '/' {
			inside = "/"
		}
		for dir := filepath.Clean("/" + inside); ; dir = filepath.Dir(dir) {
			limit = min(limit, groupLimit(filepath.Join(root, at[4], dir), version1))
			if dir == "/" {
				break
			}
		}
	}
	return limit
}

// groups returns the paths of this process's groups for processor time, by whether they
// are of version 1.
func groups(root string) map[bool]string {
	found := make(map[bool]string)
	list, _ := os.ReadFile(filepath.Join(root, "/proc/self/cgroup"))
	for line := range strings.Lines(string(list)) {
		// number:controllers:path; no controllers in version 2
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		if version1 := parts[1] != ""; !version1 || slices.Contains(strings.Split(parts[1], ","), "cpu") {
			found[version1] = parts[2]
		}
	}
	return found
}

// groupLimit returns the limit of one group, infinite if it has none.
func groupLimit(dir string, version1 bool) float64 {
	read := func(name string) []string {
		b, _ := os.ReadFile(filepath.Join(dir, name))
		return strings.Fields(string(b))
	}
	numbers := read("cpu.max") // quota and period in microseconds; max and period
	if version1 {
		numbers = append(read("cpu.cfs_quota_us"), read("cpu.cfs_period_us")...) // a quota of -1: none
	}
	if len(numbers) != 2 {
		return math.Inf(1)
	}
	quota, err := strconv.ParseFloat(numbers[0], 64)
	period, err2 := strconv.ParseFloat(numbers[1], 64)
	if err != nil || err2 != nil || quota <= 0 || period <= 0 {
		return math.Inf(1)
	}
	return quota / period
}
