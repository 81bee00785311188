package metrics

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// processShown are the numbers of the process that stderr gets; the other endpoints get
// all of them.
var processShown = []string{"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "go_goroutines"}

// writeMetrics writes one line.
func writeMetrics(w io.Writer, now time.Time, samples []sample, format string) {
	line := bytes.NewBuffer(nil)
	fmt.Fprintf(line, "%s metrics: ", now.UTC().Format(time.RFC3339))
	shown := slices.DeleteFunc(slices.Clone(samples), func(s sample) bool {
		if strings.HasPrefix(s.name, "process_") || strings.HasPrefix(s.name, "go_") {
			return !slices.Contains(processShown, s.name)
		}
		return s.name == "dnsmonster_sensor_build_info" || s.value == 0 && strings.HasPrefix(s.name, "dnsmonster_sensor_")
	})
	if format == "kv" {
		for i, s := range shown {
			if i > 0 {
				line.WriteByte(' ')
			}
			fmt.Fprintf(line, "%s=%s", s.key(), strconv.FormatFloat(s.value, 'f', -1, 64))
		}
	} else {
		object := make(map[string]map[string]float64, len(shown))
		for _, s := range shown {
			kind := "value"
			if s.counter {
				kind = "count"
			}
			object[s.key()] = map[string]float64{kind: s.value}
		}
		e := json.NewEncoder(line)
		e.SetEscapeHTML(false)
		if err := e.Encode(object); err != nil {
			fmt.Fprintf(line, "%v", err)
		}
	}
	w.Write(append(bytes.TrimRight(line.Bytes(), "\n"), '\n')) // one write: no other line comes between
}
