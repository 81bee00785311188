// Package file writes records to dnsmonster.log in a folder and rotates the file by a
// schedule: old files are compressed, and the oldest are removed.
package file

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/folder"
	"dnsmonster-sensor/outputs/format"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// Output is a folder of record files.
type Output struct {
	outputs.Basics
	path     string
	rotation folder.Rotation
	files    folder.Files
}

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
	}
	rotation := o.rotation.Flags(
		o.Section(), "DNSMONSTER_FILEOUTPUTROTATECRON", "DNSMONSTER_FILEOUTPUTROTATECOUNT", "DNSMONSTER_FILEOUTPUTCOMPRESS", "DNSMONSTER_FILEOUTPUTSYNC",
	)
	flags = append(flags, rotation[:2]...)
	flags = append(flags, o.FormatFlags("DNSMONSTER_FILEOUTPUTFORMAT", "DNSMONSTER_FILEOUTPUTGOTEMPLATE")...)
	flags = append(flags, rotation[2:]...)
	return append(flags, o.WorkersFlag("DNSMONSTER_FILEOUTPUTWORKERS", 1, "`NUMBER` of goroutines that format records. With 1, records are in the order of the capture"))
}

// Settings checks the options.
func (o *Output) Settings() (outputs.Settings, error) {
	s, err := o.Basics.Settings()
	s.RetryMax = 5 * time.Second
	errs := []error{err, o.rotation.Check()}
	if !o.IsOff() && o.path == "" {
		errs = append(errs, errors.New("fileoutputpath: name the folder of the files"))
	}
	return s, errors.Join(errs...)
}

// Describe names the file of new records.
func (o *Output) Describe() string { return o.DescribeAt(filepath.Join(o.path, folder.Lines("").Name)) }

// options are those of the folder, with the header of the format.
func (o *Output) options(header string) folder.Options {
	return folder.Options{Framing: folder.Lines(header), Rotation: o.rotation, Path: o.path, Force: o.Common.Force, Log: o.Log()}
}

// Check opens the folder and keeps it open.
func (o *Output) Check(context.Context) error {
	records, err := o.RecordFormat()
	if err != nil {
		return err
	}
	return pathError(o.files.Check(o.options(records.Header)))
}

// CheckLocal reports what Check would find wrong with the folder, and changes nothing.
func (o *Output) CheckLocal() error {
	if o.path == "" {
		return nil // Settings reports it
	}
	return pathError(folder.CheckLocal(o.options("")))
}

func pathError(err error) error {
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
	enc := records.NewEncoder()
	w, err := o.files.Open(o.options(records.Header), func(dst []byte, b *event.Block) ([]byte, int, error) {
		text, refused := format.AppendBlock(dst, enc, b)
		return text, refused.Events, refused.Why
	})
	return w, pathError(err)
}

// Meters returns counters beside the ledgers.
func (o *Output) Meters() []account.Line { return o.files.Meters() }
