package cli

import (
	"os"
	"strings"

	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/sensor/pipeline"
)

// smallInput is how many bytes one worker reads as fast as several would. Records of
// such files are in order, unless a number of workers is set.
const smallInput = 16 << 20

// keepOrder keeps records in the order of the files, if an option asks for it, if it
// costs nothing, if only the first records are wanted, or if a person reads them: one worker
// takes the packets, and each output has one writer.
func (s *session) keepOrder(o *captureOptions, in input, list []pipeline.Output) {
	costs := o.count == 0 && (in.files == nil || !small(in.files)) && !recordsOnTerminal(list)
	if in.Live || !in.ordered && (s.setsWorkers() || costs) {
		return
	}
	o.workers = 1
	for i := range list {
		list[i].Settings.Workers = 1
	}
}

// setsWorkers reports whether any number of workers is set.
func (s *session) setsWorkers() bool {
	for _, o := range s.inv.values.All() {
		if strings.Contains(o.Name, "worker") && o.Origin.Layer != config.Default {
			return true
		}
	}
	return false
}

// small reports whether all paths are regular files that are small in total. A file
// that cannot be opened is an error later.
func small(paths []string) bool {
	left := int64(smallInput)
	for _, path := range paths {
		st, err := os.Stat(path)
		if path == "-" {
			st, err = os.Stdin.Stat()
		}
		if err != nil || !st.Mode().IsRegular() {
			return false
		}
		if left -= st.Size(); left < 0 {
			return false
		}
	}
	return true
}
