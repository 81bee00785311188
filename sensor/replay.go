package sensor

import (
	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/decode"
)

func replayCommand() *cli.Command {
	o := newCommon()
	return &cli.Command{
		Name:      "replay",
		Usage:     "record the DNS messages in capture files",
		ArgsUsage: "FILE...",
		Description: `Reads pcap and pcapng files as tcpdump and others write them, of any byte order and resolution; the link
type that the file names decides how packets are read. Records come in the file's order with
--workers 1 --stdoutoutputworkercount 1, else nearly so. Of a damaged file, what stands before the
damage is delivered.

EXAMPLES:
   dnsmonster-sensor replay day.pcap > day.json
   dnsmonster-sensor replay --workers 1 monday.pcap tuesday.pcap | head`,
		OnUsageError: onUsageError,
		Flags:        o.flags(),
		Action: func(c *cli.Context) error {
			if err := o.check(); err != nil {
				return err
			}
			if !c.Args().Present() {
				return usageError("replay: name a capture file, such as: dnsmonster-sensor replay day.pcap")
			}
			return record(c, o, newLogger(c.App.ErrWriter), func() (capture.Source, error) {
				files, err := capture.OpenInputs(capture.InputOptions{Paths: c.Args().Slice(), Lanes: o.workers, Choose: decode.Lane})
				if err != nil {
					return nil, usageError("replay: %w", err)
				}
				return files, nil
			})
		},
	}
}
