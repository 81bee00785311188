// Package file writes records to dnsmonster.log in a folder, and turns the file
// over by a schedule: old ones are compressed and the oldest removed.
package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/safefs"
	"dnsmonster-sensor/userspace/account"
)

// Output is a folder of record files.
type Output struct {
	outputs.Basics
	path     string
	cron     string
	count    int
	compress string
	sync     bool
	meters   meters

	mu     sync.Mutex
	folder *folder // from Check, or the first Open, to the last Close
	users  int     // writers of folder
}

// meters count what happens beside the delivery.
type meters struct{ rotations, compressionFailures, cut atomic.Uint64 }

// New returns an output that is switched off.
func New() *Output { return &Output{Basics: outputs.NewBasics("file")} }

// Flags declares the options.
func (o *Output) Flags() []cli.Flag {
	flags := []cli.Flag{
		o.TypeFlag("DNSMONSTER_FILEOUTPUTTYPE", "for files"),
		&cli.StringFlag{
			Category: o.Section(), Name: "fileoutputpath", EnvVars: []string{"DNSMONSTER_FILEOUTPUTPATH"}, Destination: &o.path,
			Usage: "`FOLDER` that holds dnsmonster.log; it must be there, and each sensor needs its own",
		},
		&cli.StringFlag{
			Category: o.Section(), Name: "fileoutputrotatecron", EnvVars: []string{"DNSMONSTER_FILEOUTPUTROTATECRON"}, Value: "0 0 * * *", Destination: &o.cron,
			Usage: "when a new file begins, in local time, as `CRON` has it (minute hour day month weekday), or @hourly, @daily, @every 10m",
		},
		&cli.IntFlag{
			Category: o.Section(), Name: "fileoutputrotatecount", EnvVars: []string{"DNSMONSTER_FILEOUTPUTROTATECOUNT"}, Value: 4, Destination: &o.count,
			Usage: "`NUMBER` of old files to keep; 0: one file for ever, no rotation",
		},
	}
	flags = append(flags, o.FormatFlags("DNSMONSTER_FILEOUTPUTFORMAT", "DNSMONSTER_FILEOUTPUTGOTEMPLATE")...)
	return append(flags,
		&cli.StringFlag{
			Category: o.Section(), Name: "fileoutputcompress", EnvVars: []string{"DNSMONSTER_FILEOUTPUTCOMPRESS"}, Value: "gzip", Destination: &o.compress,
			Usage: "`HOW` old files are compressed: gzip, zstd or none",
		},
		&cli.BoolFlag{
			Category: o.Section(), Name: "fileoutputsync", EnvVars: []string{"DNSMONSTER_FILEOUTPUTSYNC"}, Destination: &o.sync,
			Usage: "force records to the medium before they count as delivered, so that they survive a power cut; else they survive the end of the sensor",
		},
		o.WorkersFlag("DNSMONSTER_FILEOUTPUTWORKERS", 1, "`NUMBER` of goroutines that format records; with 1 records keep the order of the capture"),
	)
}

// Settings checks the options.
func (o *Output) Settings() (outputs.Settings, error) {
	s, err := o.Basics.Settings()
	s.RetryMax = 5 * time.Second
	errs := []error{err}
	if o.count < 0 {
		errs = append(errs, fmt.Errorf("fileoutputrotatecount: %d, at least 0", o.count))
	}
	if _, err := parseSchedule(o.cron); err != nil {
		errs = append(errs, fmt.Errorf("fileoutputrotatecron: %w", err))
	}
	if _, err := findCompression(o.compress); err != nil {
		errs = append(errs, fmt.Errorf("fileoutputcompress: %w", err))
	}
	if !o.IsOff() && o.path == "" {
		errs = append(errs, errors.New("fileoutputpath: name the folder of the files"))
	}
	return s, errors.Join(errs...)
}

// Check takes the folder, which stays taken.
func (o *Output) Check(context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := o.take()
	for _, never := range []error{errInUse, errNoFolder, errNoFile, safefs.ErrUnsafe, fs.ErrNotExist, fs.ErrPermission, unix.ENOTDIR, unix.EROFS} {
		if errors.Is(err, never) {
			return outputs.Permanent(err)
		}
	}
	return err // a full disk, such as that, may pass
}

// take opens the folder, if that has not been done.
func (o *Output) take() error {
	if o.folder != nil {
		return nil
	}
	records, err := o.RecordFormat()
	if err != nil {
		return err
	}
	when, err := parseSchedule(o.cron)
	if err != nil {
		return err
	}
	how, err := findCompression(o.compress)
	if err != nil {
		return err
	}
	o.folder, err = openFolder(folderOptions{
		path: o.path, forced: o.Common.Force, header: records.Header, keep: o.count, when: when, compression: how, sync: o.sync,
		meters: &o.meters, logger: o.Log(),
	})
	if err != nil {
		return fmt.Errorf("fileoutputpath: %w", err)
	}
	return nil
}

// Open makes a writer. Those of one Output share the file and write block by
// block.
func (o *Output) Open(context.Context) (outputs.Writer, error) {
	records, err := o.RecordFormat()
	if err != nil {
		return nil, outputs.Permanent(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.take(); err != nil {
		return nil, err
	}
	o.users++
	return &writer{output: o, folder: o.folder, enc: records.NewEncoder()}, nil
}

// leave is a writer's end. The last one gives the folder back.
func (o *Output) leave() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.users--; o.users > 0 {
		return nil
	}
	f := o.folder
	o.folder = nil
	return f.close()
}

// Meters are numbers beside the ledgers.
func (o *Output) Meters() []account.Line {
	return []account.Line{
		{Name: "rotations", Value: o.meters.rotations.Load()},
		{Name: "compression_failures", Value: o.meters.compressionFailures.Load()}, // attempts; they are repeated
		{Name: "torn_bytes", Value: o.meters.cut.Load()},                           // of half a line that a crash had left
	}
}
