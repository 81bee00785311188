package cli

import (
	"io"
	"log/slog"
	"path/filepath"

	"github.com/urfave/cli/v2"
)

// processOptions are those of the process and its log.
type processOptions struct {
	level      uint
	format     string
	gomaxprocs int
	cpuProfile string
	memProfile string
}

func (o *processOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.UintFlag{
			Category: "general", Name: "loglevel", EnvVars: []string{"DNSMONSTER_LOGLEVEL"}, Value: 3, Destination: &o.level,
			Usage: "`LEVEL` of the log on stderr: 0 errors that end the program, 1 all errors, 2 also warnings, 3 also information, 4 also debugging",
		},
		&cli.StringFlag{
			Category: "general", Name: "logformat", EnvVars: []string{"DNSMONSTER_LOGFORMAT"}, Value: "text", Destination: &o.format,
			Usage: "`FORMAT` of the log: text or json",
		},
		&cli.IntFlag{
			Category: "general", Name: "gomaxprocs", EnvVars: []string{"DNSMONSTER_GOMAXPROCS"}, Value: -1, Destination: &o.gomaxprocs,
			Usage: "maximum `NUMBER` of processors to use; -1: all",
		},
		&cli.StringFlag{
			Category: "general", Name: "cpuprofile", EnvVars: []string{"DNSMONSTER_CPUPROFILE"}, Destination: &o.cpuProfile,
			Usage: "write a CPU profile to this `FILE`, for go tool pprof",
		},
		&cli.StringFlag{
			Category: "general", Name: "memprofile", EnvVars: []string{"DNSMONSTER_MEMPROFILE"}, Destination: &o.memProfile,
			Usage: "write a memory profile to this `FILE` at the end, for go tool pprof",
		},
	}
}

func (o *processOptions) check() error {
	var p problems
	p.addIf(o.level >= uint(len(logLevels)), "--loglevel %d: use 0 to 4", o.level)
	p.addIf(o.format != "text" && o.format != "json", "--logformat %q: use text or json", o.format)
	p.addIf(o.cpuProfile != "" && filepath.Clean(o.cpuProfile) == filepath.Clean(o.memProfile), "--memprofile: --cpuprofile names the same file: each needs its own")
	p.addIf(o.gomaxprocs < -1 || o.gomaxprocs == 0, "--gomaxprocs %d: use -1 for all, or 1 and more", o.gomaxprocs)
	return p.err()
}

func (o *processOptions) json() bool { return o.format == "json" }

// logLevels are dnsmonster's numbers; nothing is logged at the first.
var logLevels = [...]slog.Level{slog.LevelError + 4, slog.LevelError, slog.LevelWarn, slog.LevelInfo, slog.LevelDebug}

// logger returns a log that writes to w, and its level, which can be changed at any
// time. mask removes secrets; it may be nil. plain is for a person at a terminal, unless
// JSON is wanted.
func (o *processOptions) logger(w io.Writer, plain bool, mask func(string) string) (log *slog.Logger, level *slog.LevelVar) {
	level = new(slog.LevelVar)
	level.Set(logLevels[o.level])
	options := &slog.HandlerOptions{Level: level}
	if mask != nil {
		options.ReplaceAttr = func(_ []string, a slog.Attr) slog.Attr {
			switch v := a.Value.Any().(type) {
			case string:
				a.Value = slog.StringValue(mask(v))
			case error:
				a.Value = slog.StringValue(mask(v.Error()))
			}
			return a
		}
	}
	if o.json() {
		return slog.New(slog.NewJSONHandler(w, options)), level
	}
	if plain {
		return slog.New(&plainHandler{w: w, options: options}), level
	}
	return slog.New(slog.NewTextHandler(w, options)), level
}
