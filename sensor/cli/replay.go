package cli

import (
	"errors"
	"math"
	"slices"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/capture/file"
	"dnsmonster-sensor/sensor/pipeline"
	"dnsmonster-sensor/userspace/worker"
)

func replayCommand(list []outputs.Output) *cli.Command {
	o, f := newCaptureOptions(list), &fileOptions{}
	var read cli.StringSlice
	return &cli.Command{
		Name:      "replay",
		Usage:     "record the DNS messages in capture files and dnstap files",
		ArgsUsage: "FILE...",
		UsageText: replayTasks,
		Description: `Reads pcap, pcapng and dnstap files. Compression by gzip, zstd, xz or lz4 is recognised by content; - is the
standard input. The link type in the file says how packets are read. From a damaged file, everything
before the damage is recorded.

Records are written in the file's order with --ordered, and also on a terminal or if the files have at most
16 MiB in total, unless a number of workers is set. Otherwise the order may differ a little. If records go
elsewhere, a line on the terminal shows progress. Exit status: 0 all records delivered, 1 wrong use, 2 failure, 3 some records not delivered, or a
file not read to its end.

EXAMPLES:
   dnsmonster-sensor replay day.pcap
   dnsmonster-sensor replay day.pcap > day.json
   dnsmonster-sensor replay --ordered monday.pcap tuesday.pcap.gz -c 100
   tcpdump -w - port 53 | dnsmonster-sensor replay -
   dnsmonster-sensor replay day.fstrm.zst --dnstaptypes=client`,
		Flags: slices.Concat([]cli.Flag{readFlag(&read)}, withFormat(o.flags()), f.flags(), o.frames.flags(), o.habitFlags()),
		Action: func(c *cli.Context) error {
			make := func(s *session) (input, error) {
				return f.input(o, s, slices.Concat(read.Value(), c.Args().Slice()))
			}
			return o.begin(c, source{make, []string{"read"}})
		},
	}
}

// fileOptions are those of reading capture files.
type fileOptions struct {
	raw      bool
	ordered  bool
	speed    float64
	progress bool
}

func (f *fileOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{
			Category: "capture", Name: "noetherframe", Aliases: []string{"noethernetframe"}, EnvVars: []string{"DNSMONSTER_NOETHERFRAME"}, Destination: &f.raw,
			Usage: "read packets in files of link type Ethernet as if they started with the IP header. No effect on files of other link types",
		},
		&cli.BoolFlag{
			Category: "capture", Name: "ordered", EnvVars: []string{"DNSMONSTER_ORDERED"}, Destination: &f.ordered,
			Usage: "write records in the order of the files. There is one worker and one writer for each output: options that set a number " +
				"of workers have no effect. Without --ordered, records are in order only on a terminal, or if the files have at most 16 MiB in total, and no number of workers is set",
		},
		&cli.Float64Flag{
			Category: "capture", Name: "speed", EnvVars: []string{"DNSMONSTER_SPEED"}, Destination: &f.speed,
			Usage: "read files at this many `TIMES` the speed of the recording. 1: as recorded, 0: as fast as possible. All files share one clock",
		},
		&cli.BoolFlag{
			Category: "general", Name: "progress", EnvVars: []string{"DNSMONSTER_PROGRESS"}, Value: true, Destination: &f.progress,
			Usage: "show progress while files are read, if stderr is a terminal",
		},
	}
}

func (f *fileOptions) check() error {
	if !(f.speed >= 0 && f.speed <= math.MaxFloat64) {
		return usageError("--speed %v: use 0 or more", f.speed)
	}
	return nil
}

// input makes the input of the command replay.
func (f *fileOptions) input(o *captureOptions, s *session, files []string) (input, error) {
	var p problems
	p.add(f.check())
	if len(files) == 0 {
		p.add(noInput{errors.New("replay: name a capture file, such as: dnsmonster-sensor replay day.pcap")})
	}
	isInput := func(path string) bool { return path == "-" || exists(path) }
	p.add(checkNames(s.inv, files, isInput, isInterface, "attach", "an interface, not a file"))
	if err := p.err(); err != nil {
		return input{}, err
	}
	return f.fileInput("replay", files, o, s), nil
}

// fileInput reads the files at paths; what is the command or option that names them.
func (f *fileOptions) fileInput(what string, paths []string, o *captureOptions, s *session) input {
	check := func() error {
		var p problems
		for _, err := range file.Check(paths) {
			p.add(usageError("%s: %w", what, err))
		}
		return p.err()
	}
	open := func(<-chan struct{}) (capture.Source, error) {
		in := file.Options{Paths: paths, Lanes: o.workers, Choose: s.decoder.Lane, Raw: f.raw, Speed: f.speed, Log: s.log}
		if o.decode.dedup { // duplicates have to meet
			in.NoFrames = errors.New(noDedup + "replay this file without it")
		} else {
			in.Unpinned = s.decoder.Unpinned
		}
		files, err := file.Open(in)
		if err != nil {
			return nil, usageError("%s: %w", what, err)
		}
		return files, nil
	}
	hints := fileHints(f.raw)
	if !s.isSet("dnstaptypes") {
		hints.Notice = o.frames.twice
	}
	return input{
		Input: pipeline.Input{Open: open}, check: check, sampler: worker.NewSampler(o.ratio(), false),
		doing: func(_ capture.Source, verbose bool) string { return readingFiles(paths, verbose) },
		hints: hints,
		files: paths, ordered: f.ordered, progress: f.progress,
	}
}

// pcapOptions are those of run for reading a capture file.
type pcapOptions struct {
	fileOptions
	path string
}

func (p *pcapOptions) name() (option string, set bool) { return "pcapfile", p.path != "" }

func (p *pcapOptions) nameFlags() []cli.Flag {
	return []cli.Flag{&cli.StringFlag{
		Category: "capture", Name: "pcapfile", EnvVars: []string{"DNSMONSTER_PCAPFILE"}, Destination: &p.path,
		Usage: "capture `FILE` to read; -: stdin",
	}}
}

func (p *pcapOptions) input(o *captureOptions, s *session) (input, error) {
	return p.fileInput("--pcapfile", []string{p.path}, o, s), nil
}
