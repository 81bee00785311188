package cli

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"

	"dnsmonster-sensor/outputs/safefs"
)

// profiles are the open files for profiles, nil for those not asked for.
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
	return fmt.Errorf("%s exists and is not a profile: name another file, or use --force to replace it", path)
}

// mayBeProfile reports false for a regular file that holds something else. Other checks
// refuse what is not a regular file.
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

// checkProfile returns why a profile could not be created.
func checkProfile(option, path string, force bool) error {
	if path == "" {
		return nil
	}
	err := checkFolder(path)
	if st, serr := os.Lstat(path); serr == nil && st.Mode()&fs.ModeSymlink != 0 {
		err = errors.Join(err, fmt.Errorf("%s is a symbolic link, not a regular file: remove it, or name another file", path))
	} else if serr == nil && !st.Mode().IsRegular() {
		err = errors.Join(err, fmt.Errorf("%s is not a regular file: name another one", path))
	} else if serr == nil && !force && !mayBeProfile(path) {
		err = errors.Join(err, notAProfile(path))
	}
	if err == nil {
		err = safefs.Check(filepath.Dir(path), false, force)
	}
	if err != nil {
		return fmt.Errorf("--%s: %w", option, err)
	}
	return nil
}
