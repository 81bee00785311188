package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"dnsmonster-sensor/sensor/capture/live"
)

// These are set at link time.
var (
	version      = "dev"
	linkedCommit string
)

// versionLine names the build, so that a bug report can be traced to it.
func versionLine() string {
	return fmt.Sprintf("dnsmonster-sensor %s, commit %s, kernel program %s, %s %s/%s",
		version, buildCommit(), live.ProgramHash(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func buildCommit() string {
	if linkedCommit != "" {
		return linkedCommit
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}
