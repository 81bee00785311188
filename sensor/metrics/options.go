package metrics

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/endpoint"
)

// Options say where the numbers go.
type Options struct {
	kind       string
	statsd     string
	prometheus string
	format     string
	interval   time.Duration
	legacy     bool
	stats      time.Duration
	lossEvery  time.Duration
}

// Flags declares the options.
func (o *Options) Flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Category: "metric", Name: "metricendpointtype", EnvVars: []string{"DNSMONSTER_METRICENDPOINTTYPE"}, Value: "stderr", Destination: &o.kind,
			Usage: "`TYPE` of endpoint for metrics: stderr, statsd, prometheus, or empty for none. Without this option, metrics go to each endpoint whose address is set, and to stderr; attach, replay and dnstap leave out stderr unless metricstderrformat or metricflushinterval is set",
		},
		&cli.StringFlag{
			Category: "metric", Name: "metricstatsdagent", EnvVars: []string{"DNSMONSTER_METRICSTATSDAGENT"}, Destination: &o.statsd,
			Usage: "send metrics to the statsd server at this `HOST:PORT`, such as 127.0.0.1:8125. Labels are sent as DogStatsD tags",
		},
		&cli.StringFlag{
			Category: "metric", Name: "metricprometheusendpoint", EnvVars: []string{"DNSMONSTER_METRICPROMETHEUSENDPOINT"}, Destination: &o.prometheus,
			Usage: "serve metrics for Prometheus at this `URL`, such as http://127.0.0.1:2112/metrics; a URL without a host listens on loopback only",
		},
		&cli.StringFlag{
			Category: "metric", Name: "metricstderrformat", Aliases: []string{"metricformat"}, Value: "json", Destination: &o.format,
			EnvVars: []string{"DNSMONSTER_METRICSTDERRFORMAT", "DNSMONSTER_METRICFORMAT"},
			Usage:   "`FORMAT` of metrics on stderr: json or kv. Metrics that are 0 are left out",
		},
		&cli.DurationFlag{
			Category: "metric", Name: "metricflushinterval", EnvVars: []string{"DNSMONSTER_METRICFLUSHINTERVAL"}, Value: 10 * time.Second, Destination: &o.interval,
			Usage: "`INTERVAL` at which metrics are sent to statsd and printed on stderr",
		},
		&cli.BoolFlag{
			Category: "metric", Name: "metriclegacynames", EnvVars: []string{"DNSMONSTER_METRICLEGACYNAMES"}, Destination: &o.legacy,
			Usage: "publish metrics under dnsmonster's names instead of the sensor's own",
		},
		&cli.DurationFlag{
			Category: "metric", Name: "stats", EnvVars: []string{"DNSMONSTER_STATS"}, Destination: &o.stats,
			Usage: "print a line of rates and losses on stderr at this `INTERVAL`; 0: none",
		},
		&cli.DurationFlag{
			Category: "general", Name: "capturestatsdelay", EnvVars: []string{"DNSMONSTER_CAPTURESTATSDELAY"}, Value: time.Second, Destination: &o.lossEvery,
			Usage: "`INTERVAL` over which the metric dnsmonster_sensor_capture_loss_ratio is averaged",
		},
	}
}

// Check looks at the options without opening anything.
func (o *Options) Check() error {
	var errs []error
	refuse := func(wrong bool, format string, a ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, a...))
		}
	}
	refuse(!slices.Contains([]string{"stderr", "statsd", "prometheus", ""}, o.kind),
		"--metricendpointtype %q: use stderr, statsd, prometheus, or nothing for none", o.kind)
	refuse(o.kind == "statsd" && o.statsd == "", "--metricstatsdagent: needed for --metricendpointtype=statsd, such as 127.0.0.1:8125")
	refuse(o.kind == "prometheus" && o.prometheus == "",
		"--metricprometheusendpoint: needed for --metricendpointtype=prometheus, such as http://127.0.0.1:2112/metrics")
	refuse(o.format != "json" && o.format != "kv", "--metricstderrformat %q: use json or kv", o.format)
	refuse(o.interval < 100*time.Millisecond, "--metricflushinterval %s: use at least 100ms", o.interval)
	refuse(o.lossEvery < 10*time.Millisecond, "--capturestatsdelay %s: use at least 10ms", o.lossEvery)
	refuse(o.stats != 0 && o.stats < 100*time.Millisecond, "--stats %s: use at least 100ms, or 0 for none", o.stats)
	if err := checkStatsdAddress(o.statsd); err != nil {
		refuse(true, "--metricstatsdagent %q: %w", endpoint.MaskAll(o.statsd), err)
	}
	if _, _, err := prometheusAddress(o.prometheus); err != nil {
		refuse(true, "--metricprometheusendpoint %q: %w", endpoint.MaskAll(o.prometheus), err)
	}
	return errors.Join(errs...)
}

// AsksForLines reports whether a user who has chosen no type of endpoint wants lines on
// stderr all the same: an option is set that would otherwise have no effect. An endpoint's
// address alone asks for that endpoint only.
func (o *Options) AsksForLines(isSet func(option string) bool) bool {
	switch {
	case isSet("metricstderrformat"):
		return true
	case isSet("metricflushinterval"):
		return o.statsd == ""
	case isSet("metriclegacynames"):
		return o.statsd == "" && o.prometheus == ""
	}
	return false
}
