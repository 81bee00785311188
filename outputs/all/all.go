// Package all names the outputs of this build.
package all

import (
	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/file"
	"dnsmonster-sensor/outputs/null"
	"dnsmonster-sensor/outputs/psql"
	"dnsmonster-sensor/outputs/stdout"
)

// New returns one of each output, with nothing set and nothing opened.
func New() []outputs.Output {
	return []outputs.Output{
		file.New(),
		null.New(),
		psql.New(),
		stdout.New(),
	}
}
