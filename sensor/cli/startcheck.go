package sensor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/safefs"
)

// look says what on this machine would keep a command from starting: all at once,
// before anything is opened or made. `config check` does no more than this. No
// server is asked, and the kernel is not tried out: see the commands postgres
// check and check.
func (o *common) look(in feed, active []active) error {
	var p problems
	if in.look != nil {
		p.add(in.look())
	}
	if o.domains == nil { // options that come before are wrong
		return p.err()
	}
	for _, err := range o.domains.CheckFiles() {
		p.add(err)
	}
	for _, a := range active {
		if l, ok := a.output.(outputs.LocalChecker); ok {
			p.add(l.CheckLocal())
		}
	}
	if len(active) > 0 {
		p.add(o.delivery.CheckFolder(active[0].output.Name(), o.force)) // the same for all of them
	}
	p.add(lookAtProfile("cpuprofile", o.process.cpuProfile, o.force))
	p.add(lookAtProfile("memprofile", o.process.memProfile, o.force))
	return p.err()
}

func lookAtProfile(option, path string, force bool) error {
	if path == "" {
		return nil
	}
	err := folderIsThere(path)
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
