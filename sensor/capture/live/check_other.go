//go:build !linux

package live

import (
	"net"
	"runtime"
	"slices"

	"dnsmonster-sensor/sensor/capture/libpcap"
	"dnsmonster-sensor/sensor/capture/watch"
)

// features probes what the back ends need.
func features() (list []Feature) {
	for _, b := range backEnds() {
		f := Feature{Name: b.feature + ": mode " + string(b.mode)}
		if err := b.have(); err != nil {
			f.Reason = shortReason(err)
		} else {
			f.Have = true
		}
		list = append(list, f)
	}
	return list
}

// advice says what would make a mode possible.
func advice(mode Mode) []string {
	if mode != "" {
		return nil
	}
	return []string{"write a file with tcpdump and `replay` it, or let the DNS server report by dnstap"}
}

// checkInterfaces lists the interfaces that the names mean, without names all of them.
func checkInterfaces(names []string, mode Mode) (list []InterfaceReport, err error) {
	if len(names) > 0 {
		if err := watch.Check(watch.Options{Interfaces: names}); err != nil {
			return nil, err
		}
	}
	all, err := watch.Interfaces()
	if err != nil {
		return nil, err
	}
	about := descriptions()
	for _, i := range all {
		if len(names) == 0 || slices.ContainsFunc(names, func(word string) bool { return means(word, i) }) {
			list = append(list, report(i, about[i.Name], mode))
		}
	}
	return list, nil
}

func means(word string, i watch.Interface) bool {
	return slices.ContainsFunc(append([]string{i.Name}, i.Other...), func(name string) bool { return watch.Matches(word, name) })
}

// descriptions are what the capture library says about its devices, by their names. Without
// the library there are none.
func descriptions() map[string]string {
	devices, err := libpcap.Devices()
	if err != nil {
		return nil
	}
	about := make(map[string]string)
	for _, d := range devices {
		about[d.Name] = d.Description
	}
	return about
}

func report(i watch.Interface, about string, mode Mode) InterfaceReport {
	r := InterfaceReport{Name: i.Name, About: about, Up: i.Up, Mode: mode}
	if about == "" && len(i.Other) > 0 {
		r.About = i.Other[0] // the name that people know
	}
	if known, err := net.InterfaceByIndex(i.Index); err == nil {
		r.MTU, r.Type = known.MTU, "interface"
		if known.Flags&net.FlagLoopback != 0 {
			r.Type = "loopback"
		}
	}
	if !r.Up {
		r.Advice = append(r.Advice, "it is down; a capture can be attached before it is up")
	}
	return r
}

func systemName() string { return runtime.GOOS + "/" + runtime.GOARCH }
