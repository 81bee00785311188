package outputs

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/safefs"
	"dnsmonster-sensor/outputs/spool"
)

// Options are the options of all outputs of a run: memory and disk for waiting records.
type Options struct {
	queueMB uint
	packets uint
	dir     string
	spoolMB uint
	mode    string
	freeMB  uint
}

// Values of --spoolmode.
const (
	spoolOverflow = "overflow"
	spoolAlways   = "always"
)

// maxMB is the maximum of options in megabytes: a terabyte.
const maxMB = 1 << 20

// Flags declares the options.
func (o *Options) Flags() []cli.Flag {
	const general = "general"
	return []cli.Flag{
		&cli.UintFlag{
			Category: general, Name: "queuemb", EnvVars: []string{"DNSMONSTER_QUEUEMB"}, Destination: &o.queueMB,
			Usage: "`MEGABYTES` of memory for records that wait for an output. When it is full, records go to the spool. Without a spool, " +
				"records of interfaces are dropped and counted, and reading a file waits. 0: 64, or 8 when files are read without a spool, or more if batches need it",
		},
		&cli.UintFlag{
			Category: general, Name: "packetlimit", EnvVars: []string{"DNSMONSTER_PACKETLIMIT"}, Destination: &o.packets,
			Usage: "maximum `NUMBER` of records that wait in memory for an output; 0: as many as queuemb allows",
		},
		&cli.StringFlag{
			Category: general, Name: "spooldir", EnvVars: []string{"DNSMONSTER_SPOOLDIR"}, Destination: &o.dir,
			Usage: "`FOLDER` for records that cannot be delivered now. They stay there, also after a stop, and are sent before newer records. Each output " +
				"has its own subfolder. Without a spool, records that are not delivered at the end are lost",
		},
		&cli.UintFlag{
			Category: general, Name: "spoolmb", EnvVars: []string{"DNSMONSTER_SPOOLMB"}, Value: 1024, Destination: &o.spoolMB,
			Usage: "`MEGABYTES` of the spool of each output, at least 8. When it is full, the oldest records are evicted and counted; reading a file waits instead",
		},
		&cli.StringFlag{
			Category: general, Name: "spoolmode", EnvVars: []string{"DNSMONSTER_SPOOLMODE"}, Value: spoolOverflow, Destination: &o.mode,
			Usage: "`WHAT` goes to the spool. overflow: records that memory cannot hold, and those that are left at the end. always: every batch before it is " +
				"sent, so that a kill loses only batches that are not yet complete",
		},
		&cli.UintFlag{
			Category: general, Name: "spoolfreemb", EnvVars: []string{"DNSMONSTER_SPOOLFREEMB"}, Value: 256, Destination: &o.freeMB,
			Usage: "`MEGABYTES` that the spool leaves free on its file system",
		},
	}
}

// Check checks the options without opening anything.
func (o *Options) Check() error {
	switch {
	case o.queueMB > maxMB:
		return fmt.Errorf("--queuemb %d: use 0 to %d", o.queueMB, maxMB)
	case o.packets > math.MaxInt:
		return fmt.Errorf("--packetlimit %d: use 0 to %d", o.packets, math.MaxInt)
	case o.spoolMB < minSpool>>20 || o.spoolMB > maxMB:
		return fmt.Errorf("--spoolmb %d: use %d to %d", o.spoolMB, minSpool>>20, maxMB)
	case o.freeMB > maxMB:
		return fmt.Errorf("--spoolfreemb %d: use 0 to %d", o.freeMB, maxMB)
	case o.mode != spoolOverflow && o.mode != spoolAlways:
		return fmt.Errorf("--spoolmode %q: use %s or %s", o.mode, spoolOverflow, spoolAlways)
	case o.mode == spoolAlways && o.dir == "":
		return errors.New("--spoolmode always: needs a folder, --spooldir")
	}
	return nil
}

// CheckFolder reports why the spools cannot use their folder; output is named in the error.
// It changes nothing.
func (o *Options) CheckFolder(output string, force bool) error {
	if o.dir == "" {
		return nil
	}
	if err := safefs.Check(o.dir, true, force); err != nil {
		return fmt.Errorf("--spooldir %s: output %s: make spool: %w", o.dir, output, err)
	}
	return nil
}

// Fill sets the part of an output's settings that is the same for all outputs.
func (o *Options) Fill(s *Settings) {
	s.QueueBytes = int64(o.queueMB) << 20
	s.QueueEvents = int(o.packets)
	if o.dir != "" {
		s.Spool = SpoolSettings{Dir: o.dir, Bytes: int64(o.spoolMB) << 20, Free: int64(o.freeMB) << 20, Always: o.mode == spoolAlways}
	}
}

// WarnUnclaimed logs which outputs without a runner have events on disk. They stay there.
func (o *Options) WarnUnclaimed(runners []*Runner, log *slog.Logger) {
	if o.dir == "" {
		return
	}
	names, err := spool.Names(o.dir)
	if err != nil {
		return // there is no spool
	}
	for _, name := range names {
		if slices.ContainsFunc(runners, func(r *Runner) bool { return r.Name() == name }) {
			continue
		}
		if info, err := spool.Inspect(filepath.Join(o.dir, name), nil); err == nil && info.Events+info.Unreadable.Blocks > 0 && !info.InUse {
			log.Warn("the spool holds records for an output that is switched off; they stay there", "output", name, "events", info.Events+info.Unreadable.Events, "spool", info.Dir)
		}
	}
}
