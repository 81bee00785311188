package config

import (
	"time"

	"github.com/urfave/cli/v2"
)

// compatible is the help text of options that are accepted and ignored.
const compatible = "accepted for compatibility, no effect"

// Compatible declares the options that set the sizes of dnsmonster's channels and its
// numbers of goroutines, and the deprecated ones. They have no counterpart here.
func Compatible() []cli.Flag {
	const capture, general = "capture", "general"
	rows := []row{
		{capture, "packethandlercount", "DNSMONSTER_PACKETHANDLERCOUNT", 2, compatible + "; see --workers", nil},
		{capture, "dedupcleanupinterval", "DNSMONSTER_DEDUPCLEANUPINTERVAL", time.Minute, compatible + "; see --dedupwindow", nil},
		{capture, "tcpassemblychannelsize", "DNSMONSTER_TCPASSEMBLYCHANNELSIZE", 10000, compatible, nil},
		{capture, "tcpresultchannelsize", "DNSMONSTER_TCPRESULTCHANNELSIZE", 10000, compatible, nil},
		{capture, "tcphandlercount", "DNSMONSTER_TCPHANDLERCOUNT", 1, compatible, nil},
		{capture, "defraggerchannelsize", "DNSMONSTER_DEFRAGGERCHANNELSIZE", 10000, compatible, nil},
		{capture, "defraggerchannelreturnsize", "DNSMONSTER_DEFRAGGERCHANNELRETURNSIZE", 10000, compatible, nil},
		{capture, "packetchannelsize", "DNSMONSTER_PACKETCHANNELSIZE", 1000, compatible, nil},
		{general, "resultchannelsize", "DNSMONSTER_RESULTCHANNELSIZE", 100000, compatible, nil},
	}
	flags := flagsOf(rows)
	for _, r := range []row{
		{general, "skipdomainsfiletype", "DNSMONSTER_SKIPDOMAINSFILETYPE", "", "deprecated; " + compatible, nil},
		{general, "allowdomainsfiletype", "DNSMONSTER_ALLOWDOMAINSFILETYPE", "", "deprecated; " + compatible, nil},
	} {
		f := r.flag().(*cli.StringFlag)
		f.Hidden = true
		flags = append(flags, f)
	}
	return flags
}

// Deprecated warns about options that are set and have no effect any more.
func Deprecated(v *Values) (warnings []string) {
	for _, o := range v.All() {
		if o.Hidden && o.Section != "" && o.Origin.Layer != Default {
			warnings = append(warnings, o.Name+" is deprecated and has no effect (from "+o.Origin.String()+")")
		}
	}
	return warnings
}
