package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/safefs"
	"dnsmonster-sensor/sensor/pipeline"
)

// checkMachine says what on this machine would keep a command from starting: all of
// it at once, before anything is opened or created. It asks no server and tries
// nothing on the kernel: see the commands postgres check and check.
func (o *common) checkMachine(in input, list []pipeline.Output) error {
	var p problems
	if in.check != nil {
		p.add(in.check())
	}
	if o.domains == nil { // an earlier check has failed
		return p.err()
	}
	for _, err := range o.domains.CheckFiles() {
		p.add(err)
	}
	for _, a := range list {
		if l, ok := a.Output.(outputs.LocalChecker); ok {
			p.add(l.CheckLocal())
		}
	}
	if len(list) > 0 {
		p.add(o.delivery.CheckFolder(list[0].Output.Name(), o.force)) // the same for all of them
	}
	p.add(checkProfile("cpuprofile", o.process.cpuProfile, o.force))
	p.add(checkProfile("memprofile", o.process.memProfile, o.force))
	return p.err()
}

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
