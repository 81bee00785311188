// Package file writes records to dnsmonster.log in a folder and rotates the file by a
// schedule: old files are compressed, and the oldest are removed.
package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
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

	mu      sync.Mutex
	folder  *folder // open from Check, or the first Open, to the last Close
	writers int     // writers that use folder
}

// meters counts what happens beside the delivery.
type meters struct{ rotations, compressionFailures, tornBytes atomic.Uint64 }

// New returns an output that is switched off.
func New() *Output { return &Output{Basics: outputs.NewBasics("file")} }

// Flags declares the options.
func (o *Output) Flags() []cli.Flag {
	flags := []cli.Flag{
		o.TypeFlag("DNSMONSTER_FILEOUTPUTTYPE", "for files"),
		&cli.StringFlag{
			Category: o.Section(), Name: "fileoutputpath", EnvVars: []string{"DNSMONSTER_FILEOUTPUTPATH"}, Destination: &o.path,
			Usage: "`FOLDER` of the record files. It must exist, and each sensor needs its own",
		},
		&cli.StringFlag{
			Category: o.Section(), Name: "fileoutputrotatecron", EnvVars: []string{"DNSMONSTER_FILEOUTPUTROTATECRON"}, Value: "0 0 * * *", Destination: &o.cron,
			Usage: "when to begin a new file: a `CRON` expression in local time (minute hour day month weekday), or @hourly, @daily, @every 10m",
		},
		&cli.IntFlag{
			Category: o.Section(), Name: "fileoutputrotatecount", EnvVars: []string{"DNSMONSTER_FILEOUTPUTROTATECOUNT"}, Value: 4, Destination: &o.count,
			Usage: "`NUMBER` of old files to keep; 0: no rotation, one file",
		},
	}
	flags = append(flags, o.FormatFlags("DNSMONSTER_FILEOUTPUTFORMAT", "DNSMONSTER_FILEOUTPUTGOTEMPLATE")...)
	return append(flags,
		&cli.StringFlag{
			Category: o.Section(), Name: "fileoutputcompress", EnvVars: []string{"DNSMONSTER_FILEOUTPUTCOMPRESS"}, Value: "gzip", Destination: &o.compress,
			Usage: "compress old files by this `METHOD`: gzip, zstd or none",
		},
		&cli.BoolFlag{
			Category: o.Section(), Name: "fileoutputsync", EnvVars: []string{"DNSMONSTER_FILEOUTPUTSYNC"}, Destination: &o.sync,
			Usage: "sync each batch to disk before it counts as delivered, so that it survives a power failure. Without this, it survives only a kill of the sensor",
		},
		o.WorkersFlag("DNSMONSTER_FILEOUTPUTWORKERS", 1, "`NUMBER` of goroutines that format records. With 1, records are in the order of the capture"),
	)
}

// Settings checks the options.
func (o *Output) Settings() (outputs.Settings, error) {
	s, err := o.Basics.Settings()
	s.RetryMax = 5 * time.Second
	errs := []error{err}
	if o.count < 0 {
		errs = append(errs, fmt.Errorf("fileoutputrotatecount: must be at least 0, not %d", o.count))
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

// Describe names the file of new records.
func (o *Output) Describe() string { return o.DescribeAt(filepath.Join(o.path, logName)) }

// Check opens the folder and keeps it open.
func (o *Output) Check(context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := o.acquireFolder()
	for _, lasting := range []error{errInUse, errNotFolder, errNotRegular, safefs.ErrUnsafe, fs.ErrNotExist, fs.ErrPermission, unix.ENOTDIR, unix.EROFS} {
		if errors.Is(err, lasting) {
			return outputs.Permanent(err)
		}
	}
	return err // other errors are temporary, such as a full disk
}

// acquireFolder opens the folder unless it is open.
func (o *Output) acquireFolder() error {
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
		path: o.path, force: o.Common.Force, header: records.Header, keep: o.count, schedule: when, compression: how, sync: o.sync,
		meters: &o.meters, logger: o.Log(),
	})
	if err != nil {
		return fmt.Errorf("fileoutputpath: %w", err)
	}
	return nil
}

// Open returns a writer. The writers of an Output share the file and write one block
// at a time.
func (o *Output) Open(context.Context) (outputs.Writer, error) {
	records, err := o.RecordFormat()
	if err != nil {
		return nil, outputs.Permanent(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.acquireFolder(); err != nil {
		return nil, err
	}
	o.writers++
	return &writer{output: o, folder: o.folder, enc: records.NewEncoder()}, nil
}

// releaseFolder is called once by each writer. The last call closes the folder.
func (o *Output) releaseFolder() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.writers--; o.writers > 0 {
		return nil
	}
	f := o.folder
	o.folder = nil
	return f.close()
}

// Meters returns counters beside the ledgers.
func (o *Output) Meters() []account.Line {
	return []account.Line{
		{Name: "rotations", Value: o.meters.rotations.Load()},
		{Name: "compression_failures", Value: o.meters.compressionFailures.Load()}, // attempts; each is repeated
		{Name: "torn_bytes", Value: o.meters.tornBytes.Load()},                     // of an incomplete line that a crash left
	}
}
