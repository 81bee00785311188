// Package dnstap writes records as dnstap frames: into rotated files, or to a receiver
// that speaks Frame Streams on a socket.
//
//	block -> encoder -> folder.Files, or sender -> receiver
//
// In: sealed blocks of the runner. Out: Frame Streams. An event that came in a frame goes
// out in the same bytes; for any other one a frame is made. The tests read both with
// golang-dnstap, dnstap-ldns and fstrm_dump.
package dnstap

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/folder"
	"dnsmonster-sensor/outputs/secure"
	"dnsmonster-sensor/userspace/account"
)

// Output is a folder of dnstap files, or one receiver behind one or several addresses.
type Output struct {
	outputs.Basics
	address           string
	message           string
	identity, version string
	rotation          folder.Rotation
	tls               secure.TLS

	files folder.Files

	mu        sync.Mutex
	addresses *outputs.Addresses // nil: not made yet
	warned    time.Time          // when lost has logged

	connections, broken atomic.Uint64
}

// New returns an output that is switched off.
func New() *Output { return &Output{Basics: outputs.NewBasics("dnstap")} }

// Flags declares the options.
func (o *Output) Flags() []cli.Flag {
	flags := []cli.Flag{
		o.TypeFlag("DNSMONSTER_DNSTAPOUTPUTTYPE", "for dnstap"),
		&cli.StringFlag{
			Category: o.Section(), Name: "dnstapoutputaddress", EnvVars: []string{"DNSMONSTER_DNSTAPOUTPUTADDRESS"}, Destination: &o.address,
			Usage: "`ADDRESS` of a receiver: unix:///run/receiver.sock, tcp://host:port or tls://host:port; if one receiver has several, separate them by commas, the preferred one first. " +
				"Anything else is an existing folder for files",
		},
		o.WorkersFlag("DNSMONSTER_DNSTAPOUTPUTWORKERS", 1, "`NUMBER` of connections, or of goroutines that write to the file. With 1, records are in the order of the capture"),
		o.TimeoutFlag("DNSMONSTER_DNSTAPOUTPUTTIMEOUT", 10*time.Second),
	}
	flags = append(flags, o.contentFlags()...)
	flags = append(flags, o.rotation.Flags(
		o.Section(), "DNSMONSTER_DNSTAPOUTPUTROTATECRON", "DNSMONSTER_DNSTAPOUTPUTROTATECOUNT", "DNSMONSTER_DNSTAPOUTPUTCOMPRESS", "DNSMONSTER_DNSTAPOUTPUTSYNC",
	)...)
	return append(flags, o.tls.Flags(o.Section(), "DNSMONSTER_DNSTAPOUTPUTCAFILE", "DNSMONSTER_DNSTAPOUTPUTCERTFILE", "DNSMONSTER_DNSTAPOUTPUTKEYFILE")...)
}

// contentFlags are what frames say of records that did not come by dnstap.
func (o *Output) contentFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Category: o.Section(), Name: "dnstapoutputmessage", EnvVars: []string{"DNSMONSTER_DNSTAPOUTPUTMESSAGE"}, Value: "client", Destination: &o.message,
			Usage: "`ROLE` in the message type of records that did not come by dnstap: client, resolver, auth, forwarder, stub, tool or update",
		},
		&cli.StringFlag{
			Category: o.Section(), Name: "dnstapoutputidentity", EnvVars: []string{"DNSMONSTER_DNSTAPOUTPUTIDENTITY"}, Destination: &o.identity,
			Usage: "`NAME` as identity of records that have none. Empty: the sensor's name",
		},
		&cli.StringFlag{
			Category: o.Section(), Name: "dnstapoutputversion", EnvVars: []string{"DNSMONSTER_DNSTAPOUTPUTVERSION"}, Destination: &o.version,
			Usage: "`NAME` as version of records that have none. Empty: none",
		},
	}
}

// Settings checks the options.
func (o *Output) Settings() (outputs.Settings, error) {
	s, err := o.Basics.Settings()
	s.RetryMax = 5 * time.Second
	errs := []error{err, o.rotation.Check()}
	if _, err := queryType(o.message); err != nil {
		errs = append(errs, fmt.Errorf("dnstapoutputmessage: %w", err))
	}
	list, err := parseAddresses(o.address)
	if o.address == "" && !o.IsOff() {
		err = errors.New("name a folder, or the address of a receiver")
	}
	_, certificates := o.tls.Config("", o.Common.SkipVerify)
	errs = append(errs, addressError(err), certificates)
	if files := o.tls.CAFile + o.tls.CertFile; err == nil && files != "" && !o.IsOff() && !usesTLS(list) {
		errs = append(errs, errors.New("dnstapoutputaddress: the certificates are for an address tls://, and there is none"))
	}
	return s, errors.Join(errs...)
}

// KeepsFrames is true: what came by dnstap goes out as it came.
func (o *Output) KeepsFrames() bool { return true }

// Describe names the file, or the receiver.
func (o *Output) Describe() string {
	if isFolder(o.address) {
		return o.DescribeAt(filepath.Join(o.address, fileName))
	}
	return o.DescribeAt(o.address)
}

func (o *Output) options() folder.Options {
	return folder.Options{Framing: framing(), Rotation: o.rotation, Path: o.address, Force: o.Common.Force, Log: o.Log()}
}

// Check opens the folder, or makes a connection and ends it. What somebody has to repair
// first is permanent.
func (o *Output) Check(ctx context.Context) error {
	if isFolder(o.address) {
		return addressError(o.files.Check(o.options()))
	}
	s, err := o.connect(ctx)
	if err != nil {
		err = addressError(err)
		if isLasting(err) {
			err = outputs.Permanent(err)
		}
		return err
	}
	s.finish(finishTimeout) // nothing was sent
	return nil
}

// CheckLocal reports what Check would find wrong with the folder or the socket's path,
// and changes nothing.
func (o *Output) CheckLocal() error {
	if o.address == "" {
		return nil // Settings reports it
	}
	if isFolder(o.address) {
		return addressError(folder.CheckLocal(o.options()))
	}
	list, err := parseAddresses(o.address)
	for _, a := range list {
		err = errors.Join(err, a.checkLocal())
	}
	return addressError(err)
}

func addressError(err error) error {
	if err != nil {
		return fmt.Errorf("dnstapoutputaddress: %w", err)
	}
	return nil
}

// Open returns a writer to the file or to the receiver. A receiver can be repaired while
// the sensor runs, so no error is permanent.
func (o *Output) Open(ctx context.Context) (outputs.Writer, error) {
	enc, err := o.newEncoder()
	if err != nil {
		return nil, outputs.Permanent(err)
	}
	if isFolder(o.address) {
		w, err := o.files.Open(o.options(), enc.appendBlock)
		return w, addressError(err)
	}
	w := &sender{output: o, enc: enc}
	if w.stream, err = o.connect(ctx); err != nil {
		return nil, err
	}
	return w, nil
}

// Meters returns counters beside the ledgers.
func (o *Output) Meters() []account.Line {
	if isFolder(o.address) {
		return o.files.Meters()
	}
	var switches uint64
	o.mu.Lock()
	if o.addresses != nil {
		switches = o.addresses.Switches()
	}
	o.mu.Unlock()
	return []account.Line{
		{Name: "address_changes", Value: switches},           // to another address, and back
		{Name: "connections", Value: o.connections.Load()},   // streams that a receiver has accepted
		{Name: "broken_connections", Value: o.broken.Load()}, // those that ended without FINISH: what the receiver had not read is lost
	}
}
