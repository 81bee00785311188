// Package lists keeps the skip and the allow list as their files or servers have
// them: it loads, watches and swaps them while lanes ask.
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

// Source is where one list comes from.
type Source struct {
	Place    string        // a path, or an http or https URL; "": there is no such list
	Interval time.Duration // at which it is looked at again; 0: at SIGHUP alone
}

// Flags declares the options.
func (o *Options) Flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Category: "general", Name: "skipdomainsfile", EnvVars: []string{"DNSMONSTER_SKIPDOMAINSFILE"}, Destination: &o.Skip.Place,
			Usage: "list of domains that output types 2 and 4 leave out: `FILE`, http:// or https:// URL; docs/lists.md has the format",
		},
		&cli.DurationFlag{
			Category: "general", Name: "skipdomainsrefreshinterval", EnvVars: []string{"DNSMONSTER_SKIPDOMAINSREFRESHINTERVAL"}, Value: time.Minute, Destination: &o.Skip.Interval,
			Usage: "`INTERVAL` at which the skip list is looked at again, and read where it has changed; 0: at SIGHUP alone",
		},
		&cli.StringFlag{
			Category: "general", Name: "allowdomainsfile", EnvVars: []string{"DNSMONSTER_ALLOWDOMAINSFILE"}, Destination: &o.Allow.Place,
			Usage: "list of domains that output types 3 and 4 are limited to: `FILE`, http:// or https:// URL",
		},
		&cli.DurationFlag{
			Category: "general", Name: "allowdomainsrefreshinterval", EnvVars: []string{"DNSMONSTER_ALLOWDOMAINSREFRESHINTERVAL"}, Value: time.Minute, Destination: &o.Allow.Interval,
			Usage: "`INTERVAL` at which the allow list is looked at again, and read where it has changed; 0: at SIGHUP alone",
		},
		&cli.StringFlag{
			Category: "general", Name: "domainmatch", EnvVars: []string{"DNSMONSTER_DOMAINMATCH"}, Value: "labels", Destination: &o.Match,
			Usage: "`HOW` suffixes in the lists match: labels (google.com does not match notgoogle.com), or legacy, as dnsmonster did: plain endings, with their final dot",
		},
	}
}

// minInterval keeps a mistyped interval from becoming a flood of requests.
const minInterval = 100 * time.Millisecond

// Check looks at the options without opening anything. Its error has a line for
// each that is wrong, which begins with the option's name.
func (o *Options) Check() error {
	var errs []error
	for _, s := range []struct {
		name string
		Source
	}{{"skipdomains", o.Skip}, {"allowdomains", o.Allow}} {
		if err := checkPlace(s.Place); err != nil {
			errs = append(errs, fmt.Errorf("--%sfile %s: %w", s.name, shown(s.Place), err))
		}
		if s.Interval != 0 && s.Interval < minInterval {
			errs = append(errs, fmt.Errorf("--%srefreshinterval %s: at least %s, or 0 for at SIGHUP alone", s.name, s.Interval, minInterval))
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

func checkPlace(place string) error {
	if !isURL(place) {
		return nil
	}
	u, err := endpoint.URL(place)
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

// isURL tells a URL from a path.
func isURL(place string) bool { return strings.Contains(place, "://") }

// shown is a place without the user information that may be in it.
func shown(place string) string { return endpoint.MaskURL(place) }
