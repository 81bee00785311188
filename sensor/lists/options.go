package lists

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/endpoint"
	"dnsmonster-sensor/userspace/domains"
)

// Options say where the lists are and what their entries mean.
type Options struct {
	Skip, Allow Source
	Match       string // labels or legacy
}

// Source is where one list is read from.
type Source struct {
	Location string        // a path, or an http or https URL; "": there is no such list
	Interval time.Duration // between refreshes; 0: only at SIGHUP
}

// Flags declares the options.
func (o *Options) Flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Category: "general", Name: "skipdomainsfile", EnvVars: []string{"DNSMONSTER_SKIPDOMAINSFILE"}, Destination: &o.Skip.Location,
			Usage: "list of domains that outputs of type 2 and 4 skip: a `FILE`, or an http:// or https:// URL. docs/lists.md describes the format",
		},
		&cli.DurationFlag{
			Category: "general", Name: "skipdomainsrefreshinterval", EnvVars: []string{"DNSMONSTER_SKIPDOMAINSREFRESHINTERVAL"}, Value: time.Minute, Destination: &o.Skip.Interval,
			Usage: "`INTERVAL` at which the skip list is read again if it has changed; 0: only at SIGHUP",
		},
		&cli.StringFlag{
			Category: "general", Name: "allowdomainsfile", EnvVars: []string{"DNSMONSTER_ALLOWDOMAINSFILE"}, Destination: &o.Allow.Location,
			Usage: "list of domains to which outputs of type 3 and 4 are limited: a `FILE`, or an http:// or https:// URL",
		},
		&cli.DurationFlag{
			Category: "general", Name: "allowdomainsrefreshinterval", EnvVars: []string{"DNSMONSTER_ALLOWDOMAINSREFRESHINTERVAL"}, Value: time.Minute, Destination: &o.Allow.Interval,
			Usage: "`INTERVAL` at which the allow list is read again if it has changed; 0: only at SIGHUP",
		},
		&cli.StringFlag{
			Category: "general", Name: "domainmatch", EnvVars: []string{"DNSMONSTER_DOMAINMATCH"}, Value: "labels", Destination: &o.Match,
			Usage: "`HOW` suffixes in the lists match names. labels: whole labels, so that google.com does not match notgoogle.com; legacy: any end of a name with its final dot, as in dnsmonster",
		},
	}
}

// minInterval keeps a mistyped interval from becoming a flood of requests.
const minInterval = 100 * time.Millisecond

// Check checks the options without opening anything. Its error has a line for each
// wrong option, which begins with the option's name.
func (o *Options) Check() error {
	var errs []error
	for _, s := range []struct {
		name string
		Source
	}{{"skipdomains", o.Skip}, {"allowdomains", o.Allow}} {
		if err := checkLocation(s.Location); err != nil {
			errs = append(errs, fmt.Errorf("--%sfile %s: %w", s.name, masked(s.Location), err))
		}
		if s.Interval != 0 && s.Interval < minInterval {
			errs = append(errs, fmt.Errorf("--%srefreshinterval %s: use at least %s, or 0 for only at SIGHUP", s.name, s.Interval, minInterval))
		}
	}
	if o.Match != "labels" && o.Match != "legacy" {
		errs = append(errs, fmt.Errorf("--domainmatch %q: use labels or legacy", o.Match))
	}
	return errors.Join(errs...)
}

func (o *Options) matching() domains.Matching {
	if o.Match == "legacy" {
		return domains.Legacy
	}
	return domains.Labels
}

func checkLocation(location string) error {
	if !isURL(location) {
		return nil
	}
	u, err := endpoint.URL(location)
	switch {
	case err != nil:
		return err
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("use a path, or an http:// or https:// URL")
	case u.Host == "":
		return errors.New("the URL names no host")
	}
	return nil
}

// isURL reports whether location is a URL, not a path.
func isURL(location string) bool { return strings.Contains(location, "://") }

// masked returns location with its user and password masked.
func masked(location string) string { return endpoint.MaskURL(location) }
