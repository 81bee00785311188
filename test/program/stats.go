//go:build linux

package program

import (
	"regexp"
	"strconv"
	"strings"
)

// Stats is a line of --stats.
type Stats struct {
	Records, Packets int // a second
	Lost             int // since the start
	Waiting          int
}

var statsLine = regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d  ([\d,]+) records/s, ([\d,]+) packets/s (?:seen|read), (?:at least )?([\d,]+) (?:lost|LOST)(?: \(([\d,]+) in all\))?, ([\d,]+) waiting$`)

// ParseStats reads the lines of --stats on stderr.
func ParseStats(log string) (list []Stats) {
	for _, m := range statsLine.FindAllStringSubmatch(log, -1) {
		var n [5]int
		for i, text := range m[1:] {
			n[i], _ = strconv.Atoi(strings.ReplaceAll(text, ",", ""))
		}
		list = append(list, Stats{Records: n[0], Packets: n[1], Lost: max(n[2], n[3]), Waiting: n[4]})
	}
	return list
}
