package cli

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/format"
	"dnsmonster-sensor/outputs/printable"
	"dnsmonster-sensor/outputs/spool"
	"dnsmonster-sensor/sensor/capture/watch"
	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// spoolOptions are those of the commands that look at spools.
type spoolOptions struct {
	dir      string
	yes      bool
	format   string
	template string
	server   string
	records  formatOptions
}

func spoolCommand() *cli.Command {
	ls, export, drop := &spoolOptions{}, &spoolOptions{}, &spoolOptions{}
	return &cli.Command{
		Name:  "spool",
		Usage: "list, export or delete records that wait on disk for an output",
		Subcommands: []*cli.Command{{
			Name:      "ls",
			Usage:     "list the records that wait on disk for each output",
			ArgsUsage: "[OUTPUT...]",
			Description: `Shows how many records wait for each output, when the oldest and the newest of them were stored, and what
is damaged. A newer build may have stored records that this build cannot read: they are listed too, and
the newer build sends them when it is started again with this spool. Changes nothing. The sensor may be
running.

EXAMPLES:
   dnsmonster-sensor spool ls --spooldir /var/lib/dnsmonster-sensor/spool
   dnsmonster-sensor spool ls --config /etc/dnsmonster.ini psql`,
			Flags:  ls.flags(),
			Action: ls.list,
		}, {
			Name:      "export",
			Usage:     "write records that wait on disk to stdout, and keep them",
			ArgsUsage: "OUTPUT",
			Description: `Writes the records that wait for an output to stdout, the oldest first, in any of the formats. They stay
in the spool: the sensor sends them at its next start. The sensor must be stopped. If the spool is damaged,
or a newer build has written to it, the records that this build can read are written, and the exit status
is 3.

EXAMPLES:
   dnsmonster-sensor spool export psql --config /etc/dnsmonster.ini > psql.json
   dnsmonster-sensor spool export psql --format csv \
       --spooldir /var/lib/dnsmonster-sensor/spool | head`,
			Flags: append(append(export.flags(), export.records.flags()...),
				&cli.StringFlag{Name: "format", Value: "json", Destination: &export.format, Usage: format.Usage},
				&cli.StringFlag{Name: "template", Value: "{{.}}", Destination: &export.template, Usage: format.TemplateUsage},
				&cli.StringFlag{
					Category: "general", Name: "servername", EnvVars: []string{"DNSMONSTER_SERVERNAME"}, Value: "default", Destination: &export.server,
					Usage: "`NAME` of this sensor, in formats that have a field for it",
				},
			),
			Action: export.export,
		}, {
			Name:      "drop",
			Usage:     "delete records that wait on disk",
			ArgsUsage: "OUTPUT...",
			Description: `Deletes the records that wait for the named outputs, and what was set aside as damaged or unreadable.
Deleted records cannot be restored: save them first with spool export. Without --yes, the command only says
what it would delete. The sensor must be stopped.

EXAMPLES:
   dnsmonster-sensor spool drop psql --spooldir /var/lib/dnsmonster-sensor/spool
   dnsmonster-sensor spool drop psql --config /etc/dnsmonster.ini --yes`,
			Flags:  append(drop.flags(), &cli.BoolFlag{Name: "yes", Destination: &drop.yes, Usage: "delete the records, instead of only saying what would be deleted"}),
			Action: drop.drop,
		}},
		Action: func(c *cli.Context) error {
			return usageError("spool: use dnsmonster-sensor spool ls, export or drop (see dnsmonster-sensor spool ls --help)")
		},
	}
}

func (o *spoolOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "config", EnvVars: []string{"DNSMONSTER_CONFIG"}, Usage: "take --spooldir from this configuration `FILE` of the sensor"},
		&cli.StringFlag{
			Category: "general", Name: "spooldir", EnvVars: []string{"DNSMONSTER_SPOOLDIR"}, Destination: &o.dir,
			Usage: "`FOLDER` of the spool, as the sensor's --spooldir",
		},
	}
}

// names are the spools of the outputs that the arguments name, or all.
func (o *spoolOptions) names(c *cli.Context) ([]string, error) {
	if o.dir == "" {
		return nil, usageError("--spooldir: name the folder of the spool, or the sensor's configuration file with --config")
	}
	there, err := spool.Names(o.dir)
	if err != nil {
		return nil, usageError("--spooldir %s: %w", o.dir, err)
	}
	if c.Args().Present() && len(there) == 0 {
		return nil, usageError("no spool in %s", o.dir)
	}
	for _, name := range c.Args().Slice() {
		if !slices.Contains(there, name) {
			return nil, usageError("no spool of output %q in %s (there are: %s)%s", name, o.dir, strings.Join(there, ", "), config.DidYouMean(name, there))
		}
	}
	if c.Args().Present() {
		return c.Args().Slice(), nil
	}
	return there, nil
}

func (o *spoolOptions) list(c *cli.Context) error {
	names, err := o.names(c)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		fmt.Fprintf(c.App.Writer, "no spool in %s\n", o.dir)
		return nil
	}
	w := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "OUTPUT\tSEGMENTS\tBLOCKS\tRECORDS\tBYTES\tOLDEST\tNEWEST\tDAMAGE\t")
	var errs []error
	for _, name := range names {
		info, err := spool.Inspect(filepath.Join(o.dir, name), nil)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		running := ""
		if info.InUse {
			running = "in use by a running sensor"
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", printable.OneLine(name), info.Segments, info.Blocks, info.Events, info.Bytes,
			formatTime(info.Oldest), formatTime(info.Newest), describeDamage(info), running)
	}
	if err := errors.Join(append(errs, w.Flush())...); err != nil {
		return &exitError{exitFailure, err}
	}
	return nil
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

func describeDamage(info spool.Info) string {
	var parts []string
	if info.Damaged > 0 {
		parts = append(parts, account.Counted(uint64(info.Damaged), "damaged place"))
	}
	if info.Lost > 0 {
		parts = append(parts, account.Counted(info.Lost, "record")+" lost")
	}
	if info.Quarantined > 0 {
		parts = append(parts, account.Counted(uint64(info.Quarantined), "file")+" set aside")
	}
	if u := info.Unreadable; u.Blocks > 0 {
		parts = append(parts, unreadable(u))
	}
	if c := info.Unreadable.Errors; len(c) > 0 {
		parts = append(parts, describeUnopened(c))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// describeUnopened says how many of the files that were set aside cannot be opened.
func describeUnopened(errs []error) string {
	return fmt.Sprintf("%s set aside cannot be opened, the first because: %v", account.Counted(uint64(len(errs)), "file"), errs[0])
}

// unreadable says how much this build cannot read.
func unreadable(u spool.Unreadable) string {
	return fmt.Sprintf("%s unreadable in %s%s", account.Counted(u.Events, "record"), account.Counted(uint64(u.Blocks), "block"), layouts(u))
}

// layouts names the layouts of the blocks that this build cannot read.
func layouts(u spool.Unreadable) string {
	var list []string
	for _, l := range u.Layouts {
		list = append(list, strconv.Itoa(int(l)))
	}
	return " of layout " + strings.Join(list, ", ")
}

func (o *spoolOptions) export(c *cli.Context) error {
	options, err := o.records.check()
	if err != nil {
		return err
	}
	options.Server, options.Template = o.server, o.template
	options.InterfaceName = watch.CurrentNames().Name
	f, err := format.New(o.format, options)
	if err != nil && o.format == "gotemplate" {
		return usageError("--template: %w", err)
	}
	if err != nil {
		return usageError("--format: %w", err)
	}
	names, err := o.names(c)
	if err != nil {
		return err
	}
	if c.NArg() != 1 {
		return usageError("spool export: name one output: %s", cmp.Or(strings.Join(names, ", "), "there is no spool in "+o.dir))
	}
	w := bufio.NewWriterSize(printable.Unwrap(c.App.Writer), 256<<10) // a template may write any bytes
	w.WriteString(f.Header)
	var refused format.Refusal
	info, err := spool.Export(filepath.Join(o.dir, names[0]), writeAll(w, f, &refused))
	if err == nil {
		err = w.Flush()
	}
	switch {
	case errors.Is(err, spool.ErrInUse):
		return &exitError{exitUsage, fmt.Errorf("spool export: %w", err)}
	case err != nil:
		return &exitError{exitFailure, fmt.Errorf("spool export: %w", err)}
	case notExported(info) != "":
		return &exitError{exitUndelivered, fmt.Errorf("exported %s, but not all: %s", account.Counted(info.Events, "record"), notExported(info))}
	}
	if refused.Events > 0 {
		return &exitError{exitUndelivered, fmt.Errorf("could not export %d of %s, the first because: %w", refused.Events, account.Counted(info.Events, "record"), refused.Why)}
	}
	fmt.Fprintf(c.App.ErrWriter, "exported %s, which stay in the spool\n", account.Counted(info.Events, "record"))
	return nil
}

// notExported says which part of a spool cannot be read; "" means none.
func notExported(info spool.Info) string {
	var parts []string
	if u := info.Unreadable; u.Blocks > 0 {
		parts = append(parts, unreadable(u)+": export with the build that wrote them")
	}
	if c := info.Unreadable.Errors; len(c) > 0 {
		parts = append(parts, describeUnopened(c))
	}
	if info.Lost > 0 {
		parts = append(parts, fmt.Sprintf("%s, at least %s lost", account.Counted(uint64(info.Damaged), "damaged place"), account.Counted(info.Lost, "record")))
	}
	return strings.Join(parts, "; ")
}

// writeAll writes blocks in a format, and counts the events that it refuses.
func writeAll(w io.Writer, f format.Format, refused *format.Refusal) func(*event.Block) error {
	enc := f.NewEncoder()
	var text []byte
	return func(b *event.Block) error {
		var r format.Refusal
		if text, r = format.AppendBlock(text[:0], enc, b); r.Events > 0 {
			refused.Events += r.Events
			refused.Why = cmp.Or(refused.Why, r.Why)
		}
		_, err := w.Write(text)
		return err
	}
}

func (o *spoolOptions) drop(c *cli.Context) error {
	names, err := o.names(c)
	if err != nil {
		return err
	}
	if !c.Args().Present() {
		return usageError("spool drop: name the outputs: %s", cmp.Or(strings.Join(names, ", "), "there is no spool in "+o.dir))
	}
	for _, name := range names {
		if err := o.dropOne(c.App.Writer, name); err != nil {
			return err
		}
	}
	return nil
}

func (o *spoolOptions) dropOne(w io.Writer, name string) error {
	what := "what is in it" // a spool that cannot be read can be dropped, too
	info, err := spool.Inspect(filepath.Join(o.dir, name), nil)
	if err == nil {
		what = account.Counted(info.Events, "record")
		if n := info.Unreadable; n.Blocks > 0 {
			what += fmt.Sprintf(" and %d that this build cannot read", n.Events)
		}
	}
	if !o.yes {
		return usageError("spool drop %s: nothing is deleted; --yes deletes %s", name, what)
	}
	switch err := spool.Drop(filepath.Join(o.dir, name)); {
	case errors.Is(err, spool.ErrInUse):
		return &exitError{exitUsage, fmt.Errorf("spool drop: %w", err)}
	case err != nil:
		return &exitError{exitFailure, err}
	}
	fmt.Fprintf(w, "%s: deleted %s\n", name, what)
	return nil
}
