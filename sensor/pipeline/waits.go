package pipeline

import (
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/userspace/account"
)

// sayTo logs what is waited for.
func sayTo(log *slog.Logger) func(string) { return func(line string) { log.Info(line) } }

// spoolToRead describes the reading of an output's spool.
func spoolToRead(o Output) string {
	dir, bytes := filepath.Join(o.Settings.Spool.Dir, o.Output.Name()), int64(0)
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // the spool's own reader will say so
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			bytes += info.Size()
		}
		return nil
	})
	return fmt.Sprintf("the spool %s to be read: %d MB", dir, (bytes+999_999)/1_000_000)
}

// answerOf describes the check of an output.
func answerOf(o outputs.Output) string { return "an answer from output " + outputs.Describe(o) }

// undeliveredNow describes the delivery of what the outputs hold.
func (p *pipeline) undeliveredNow() string {
	held := uint64(0)
	for _, r := range p.runners {
		l := r.Ledger(func() uint64 { return 0 })
		held += l.Held
	}
	return fmt.Sprintf("the outputs to take %s", account.Counted(held, "record"))
}

// lastPackets describes the end of the capture.
func (p *pipeline) lastPackets() string {
	switch {
	case p.hints.unit() != "packet":
		return "the connections of senders to end"
	case p.source.Live():
		return "the kernel to detach the capture program"
	}
	return "the files to be closed"
}
