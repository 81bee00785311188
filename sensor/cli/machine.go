package cli

import (
	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/pipeline"
)

// checkMachine joins everything on this machine that would keep a command from
// starting, before anything is opened or created. It asks no server and tries nothing
// on the kernel: see the commands postgres check and check.
func (o *captureOptions) checkMachine(in input, list []pipeline.Output) error {
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
	for _, out := range list {
		if l, ok := out.Output.(outputs.LocalChecker); ok {
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
