package folder

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/secure"
)

// Rotation is when files become old, and what becomes of old ones.
type Rotation struct {
	Cron     string
	Count    int // of old files to keep; 0: no rotation
	Compress string
	Sync     bool // each block to the medium

	cron, count, compress string // option names
}

// Flags declares the options of these environment variables, in this order.
func (r *Rotation) Flags(section, cronEnv, countEnv, compressEnv, syncEnv string) []cli.Flag {
	r.cron, r.count, r.compress = secure.OptionName(cronEnv), secure.OptionName(countEnv), secure.OptionName(compressEnv)
	return []cli.Flag{
		&cli.StringFlag{
			Category: section, Name: r.cron, EnvVars: []string{cronEnv}, Value: "0 0 * * *", Destination: &r.Cron,
			Usage: "when to begin a new file: a `CRON` expression in local time (minute hour day month weekday), or @hourly, @daily, @every 10m",
		},
		&cli.IntFlag{
			Category: section, Name: r.count, EnvVars: []string{countEnv}, Value: 4, Destination: &r.Count,
			Usage: "`NUMBER` of old files to keep; 0: no rotation, one file",
		},
		&cli.StringFlag{
			Category: section, Name: r.compress, EnvVars: []string{compressEnv}, Value: "gzip", Destination: &r.Compress,
			Usage: "compress old files by this `METHOD`: gzip, zstd or none",
		},
		&cli.BoolFlag{
			Category: section, Name: secure.OptionName(syncEnv), EnvVars: []string{syncEnv}, Destination: &r.Sync,
			Usage: "sync each batch to disk before it counts as delivered, so that it survives a power failure. Without this, it survives only a kill of the sensor",
		},
	}
}

// Check checks the options. Its error joins all mistakes, each of which begins with its
// option.
func (r *Rotation) Check() error {
	var errs []error
	if r.Count < 0 {
		errs = append(errs, fmt.Errorf("%s: must be at least 0, not %d", r.count, r.Count))
	}
	if _, err := parseSchedule(r.Cron); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", r.cron, err))
	}
	if _, err := findCompression(r.Compress); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", r.compress, err))
	}
	return errors.Join(errs...)
}
