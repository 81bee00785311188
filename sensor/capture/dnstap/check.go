package dnstap

import (
	"errors"
	"fmt"
	"net"

	"dnsmonster-sensor/outputs/safefs"
)

// parseAddresses parses the addresses of options.
func parseAddresses(o Options) (list []Address, err error) {
	var errs []error
	if len(o.Addresses) == 0 {
		errs = append(errs, errors.New("no address: "+forms))
	}
	seen := make(map[string]string)
	for _, text := range o.Addresses {
		a, err := ParseAddress(text)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		host, port, _ := net.SplitHostPort(a.Where)
		key := a.dialed() + " " + a.Where
		switch other := seen[key]; {
		case other != "" && !(a.Network != "unix" && port == "0"):
			errs = append(errs, fmt.Errorf("%q: this is the same address as %q", text, other))
			continue
		case o.Dial && a.Network != "unix" && (port == "0" || host == ""):
			errs = append(errs, fmt.Errorf("%q: to connect, a host and a port from 1 to 65535 are needed", text))
			continue
		}
		seen[key] = text
		list = append(list, a)
	}
	return list, errors.Join(errs...)
}

// Check returns why Open would fail, as far as that can be seen without opening anything.
func Check(o Options) (list []error) {
	addresses, err := parseAddresses(o)
	if err != nil {
		if several, ok := err.(interface{ Unwrap() []error }); ok {
			list = several.Unwrap()
		}
	}
	if err := (&certificates{options: o}).check(addresses); err != nil {
		list = append(list, err)
	}
	if o.Dial {
		return list
	}
	if _, err := groupID(o.Group); err != nil {
		list = append(list, err)
	}
	passed, err := passedSockets()
	if err != nil {
		list = append(list, err)
	}
	for _, a := range addresses {
		if a.Network != "unix" || a.abstract() || find(passed, a) != nil {
			continue
		}
		if err := safefs.CheckUnix(a.Where); err != nil {
			list = append(list, cannotListen(a, err))
		}
	}
	return list
}
