package sensor

import (
	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/decode"
	"dnsmonster-sensor/userspace/worker"
)

func replayCommand() *cli.Command {
	o, f := newCommon(), &fileOptions{}
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
		Flags:        append(o.flags(), f.flags()...),
		Action: func(c *cli.Context) error {
			s, err := o.session(c)
			if err != nil {
				return err
			}
			if !c.Args().Present() {
				return usageError("replay: name a capture file, such as: dnsmonster-sensor replay day.pcap")
			}
			return record(c, o, s, feed{false, func() (capture.Source, error) { return f.open("replay", c.Args().Slice(), o, s) }})
		},
	}
}

// fileOptions are those of reading capture files.
type fileOptions struct {
	raw bool
}

func (f *fileOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{
			Category: "capture", Name: "noetherframe", EnvVars: []string{"DNSMONSTER_NOETHERFRAME"}, Destination: &f.raw,
			Usage: "packets of files that call themselves Ethernet start with the IP header; other files say what theirs start with",
		},
	}
}

func (f *fileOptions) open(what string, paths []string, o *common, s *session) (capture.Source, error) {
	files, err := capture.OpenInputs(capture.InputOptions{Paths: paths, Lanes: o.workers, Choose: decode.Lane, Raw: f.raw, Log: s.log})
	if err != nil {
		return nil, usageError("%s: %w", what, err)
	}
	s.sample = worker.NewSampler(o.ratio()) // live, the kernel does it
	return files, nil
}
