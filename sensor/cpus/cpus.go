// Package cpus says which processors this process may use, and binds threads to them. A
// list of numbers as in taskset comes in, and what the kernel and the control groups
// allow. Its tests have folders that look like those of the kernel.
package cpus

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// maxCPU bounds the numbers of a list, as the kernel's largest configuration does.
const maxCPU = 8191

// Parse reads a list of processors such as 2-3,6, in the order in which it names them.
func Parse(list string) ([]int, error) {
	var cpus []int
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			to = from
		}
		first, err := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		if err != nil || err2 != nil || first < 0 || last < first || last > maxCPU {
			return nil, fmt.Errorf("%q is not a processor or a range of them: write a list such as 2-3,6", part)
		}
		for cpu := first; cpu <= last; cpu++ {
			if slices.Contains(cpus, cpu) {
				return nil, fmt.Errorf("processor %d is named twice", cpu)
			}
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

// Check returns an error that names a processor which this process may not use.
func Check(cpus []int) error {
	allowed, err := Allowed()
	if err != nil {
		return err
	}
	for _, cpu := range cpus {
		if !slices.Contains(allowed, cpu) {
			return fmt.Errorf("processor %d is not one of those that this process may use: %s (taskset, systemd's CPUAffinity and AllowedCPUs, and containers limit them)",
				cpu, Format(allowed))
		}
	}
	return nil
}

// Format writes a sorted list as Parse reads it.
func Format(cpus []int) string {
	var parts []string
	for i := 0; i < len(cpus); {
		end := i
		for end+1 < len(cpus) && cpus[end+1] == cpus[end]+1 {
			end++
		}
		part := strconv.Itoa(cpus[i])
		if end > i {
			part += "-" + strconv.Itoa(cpus[end])
		}
		parts, i = append(parts, part), end+1
	}
	return strings.Join(parts, ",")
}

// Quota returns how many processors' time this process may use, rounded up, or many
// where nothing limits it. Go's runtime knows a limit, too, but takes one below 2 for 2,
// and looks only at the innermost control group.
func Quota() int { return roundUp(quota("")) }

func roundUp(limit float64) int {
	if limit > maxCPU {
		return math.MaxInt32
	}
	return max(1, int(math.Ceil(limit)))
}
