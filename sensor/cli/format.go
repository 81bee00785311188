package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	_ "time/tzdata" // an image may have nothing but the program

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/format"
)

// formatOptions say how records look in every output that writes them as text.
type formatOptions struct {
	fields   string
	timezone string
	csvIP    string
}

func (o *formatOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Category: "general", Name: "jsonfields", EnvVars: []string{"DNSMONSTER_JSONFIELDS"}, Destination: &o.fields,
			Usage: "add these `FIELDS` to JSON records, separated by commas: " + strings.Join(format.FieldNames(), ", ") + ". " +
				"A field without a value is left out",
		},
		&cli.StringFlag{
			Category: "general", Name: "timezone", EnvVars: []string{"DNSMONSTER_TIMEZONE"}, Value: "UTC", Destination: &o.timezone,
			Usage: "time `ZONE` of records: UTC, local, or a name such as Europe/Berlin",
		},
		&cli.StringFlag{
			Category: "general", Name: "csvip", EnvVars: []string{"DNSMONSTER_CSVIP"}, Value: "integer", Destination: &o.csvIP,
			Usage: "`FORM` of addresses in CSV: integer (IPv6: the upper 64 bits, as in dnsmonster), text or uint128",
		},
	}
}

// check reads the options.
func (o *formatOptions) check() (f format.Options, err error) {
	if f.Fields, err = format.ParseFields(o.fields); err != nil {
		return f, usageError("--jsonfields: %w", err)
	}
	if f.CSVIP, err = format.ParseIPForm(o.csvIP); err != nil {
		return f, usageError("--csvip: %w", err)
	}
	if f.Location, err = location(o.timezone); err != nil {
		return f, usageError("--timezone: %w", err)
	}
	return f, nil
}

func location(name string) (*time.Location, error) {
	switch name {
	case "", "UTC", "utc":
		return time.UTC, nil
	case "local", "Local":
		return time.Local, checkLocal()
	}
	l, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("unknown time zone %q: use UTC, local, or a name of the time zone database, such as Europe/Berlin", name)
	}
	return l, nil
}

// checkLocal returns why this machine's local time cannot be read. The library would
// silently use UTC, which is right only if no local time is set.
func checkLocal() error {
	zone, set := os.LookupEnv("TZ")
	path := strings.TrimPrefix(zone, ":")
	switch {
	case !set:
		path = "/etc/localtime"
	case path == "":
		return nil
	case !filepath.IsAbs(path):
		if _, err := time.LoadLocation(path); err != nil {
			return fmt.Errorf("the environment variable TZ is %q: use a name of the time zone database, such as Europe/Berlin", zone)
		}
		return nil
	}
	content, err := os.ReadFile(path)
	if !set && errors.Is(err, fs.ErrNotExist) {
		return nil // no local time but UTC
	}
	if err == nil {
		_, err = time.LoadLocationFromTZData(path, content)
	}
	if err != nil {
		return fmt.Errorf("local time cannot be read from %s: %w", path, err)
	}
	return nil
}
