// Package all lists the outputs of this build. Only sensor imports it; it imports each
// output. Its test compares the list with the folders.
package all

import (
	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/clickhouse"
	"dnsmonster-sensor/outputs/dnstap"
	"dnsmonster-sensor/outputs/file"
	"dnsmonster-sensor/outputs/null"
	"dnsmonster-sensor/outputs/psql"
	"dnsmonster-sensor/outputs/stdout"
)

// New returns one of each output, with no option set and nothing opened.
func New() []outputs.Output {
	return []outputs.Output{
		clickhouse.New(),
		dnstap.New(),
		file.New(),
		null.New(),
		psql.New(),
		stdout.New(),
	}
}
