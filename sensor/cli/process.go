package cli

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/safefs"
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
			Usage: "`LEVEL` of the log on stderr: 0 only what ends the program, 1 errors, 2 warnings, 3 information, 4 debugging",
		},
		&cli.StringFlag{
			Category: "general", Name: "logformat", EnvVars: []string{"DNSMONSTER_LOGFORMAT"}, Value: "text", Destination: &o.format,
			Usage: "`FORMAT` of the log: text or json",
		},
		&cli.IntFlag{
			Category: "general", Name: "gomaxprocs", EnvVars: []string{"DNSMONSTER_GOMAXPROCS"}, Value: -1, Destination: &o.gomaxprocs,
			Usage: "`NUMBER` of processors to use at a time; -1: all",
		},
		&cli.StringFlag{
			Category: "general", Name: "cpuprofile", EnvVars: []string{"DNSMONSTER_CPUPROFILE"}, Destination: &o.cpuProfile,
			Usage: "write a profile of processor time to this `FILE`, for go tool pprof",
		},
		&cli.StringFlag{
			Category: "general", Name: "memprofile", EnvVars: []string{"DNSMONSTER_MEMPROFILE"}, Destination: &o.memProfile,
			Usage: "write a profile of memory to this `FILE` at the end, for go tool pprof",
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

// logLevels are dnsmonster's numbers; nothing is logged at the first.
var logLevels = [...]slog.Level{slog.LevelError + 4, slog.LevelError, slog.LevelWarn, slog.LevelInfo, slog.LevelDebug}

// logger writes to w, after mask has taken secrets out; nil takes nothing out. The
// level can be changed at any time.
func (o *processOptions) logger(w io.Writer, mask func(string) string) (log *slog.Logger, level *slog.LevelVar) {
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
	if o.format == "json" {
		return slog.New(slog.NewJSONHandler(w, options)), level
	}
	return slog.New(slog.NewTextHandler(w, options)), level
}

// profiles are the open files of the profiles.
type profiles struct{ cpu, mem *os.File }

// profile starts the profiles that the options ask for. It creates the files, so that
// a bad name is an error before anything is captured.
func (o *processOptions) profile(force bool) (*profiles, error) {
	p := &profiles{}
	var err error
	if o.memProfile != "" {
		if p.mem, err = createProfile(o.memProfile, force); err != nil {
			return nil, usageError("--memprofile: %w", err)
		}
	}
	if o.cpuProfile == "" {
		return p, nil
	}
	if p.cpu, err = createProfile(o.cpuProfile, force); err == nil {
		err = pprof.StartCPUProfile(p.cpu)
	}
	if err != nil {
		p.mem.Close()
		p.cpu.Close()
		return nil, usageError("--cpuprofile: %w", err)
	}
	return p, nil
}

// createProfile makes a file that only this user can read: a profile shows what is in
// the process's memory. An existing file is replaced if it is a profile.
func createProfile(path string, force bool) (*os.File, error) {
	if !force && !mayBeProfile(path) {
		return nil, notAProfile(path)
	}
	if err := checkFolder(path); err != nil {
		return nil, err
	}
	return safefs.Create(path, 0o600, force)
}

func notAProfile(path string) error {
	return fmt.Errorf("%s is there and is not a profile: name another file, or use --force to replace it", path)
}

// mayBeProfile is false for a file that holds something else. Other checks refuse
// what is not a regular file.
func mayBeProfile(path string) bool {
	if st, err := os.Lstat(path); err != nil || !st.Mode().IsRegular() || st.Size() == 0 {
		return true
	}
	content, err := readStart(path)
	if err != nil {
		return true
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return false
	}
	var start [3]byte
	if _, err = io.ReadFull(unpacked, start[:]); err != nil {
		return false
	}
	switch start[0] {
	case 0x0a, 0x5a: // a type of samples or of the period
		return start[1] <= 8 && start[2] == 0x08
	case 0x48: // the time, in nanoseconds
		return start[1] >= 0x80 && start[2] >= 0x80
	}
	return false
}

// write completes the profiles.
func (p *profiles) write() error {
	if p.cpu != nil {
		pprof.StopCPUProfile()
		if err := p.cpu.Close(); err != nil {
			return fmt.Errorf("write cpu profile: %w", err)
		}
	}
	if p.mem == nil {
		return nil
	}
	runtime.GC() // the profile shows what is in use, and no garbage
	if err := pprof.WriteHeapProfile(p.mem); err != nil {
		p.mem.Close()
		return fmt.Errorf("write memory profile: %w", err)
	}
	return p.mem.Close()
}
