package config

import (
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Kubernetes sets variables in the containers of a pod for each service of the namespace,
// and Docker did so for each link. Those of a service whose name starts with
// "dnsmonster" look like ours, and one of them has the name of an option.

var linkName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^DNSMONSTER(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)
})

// isServiceLink reports whether Kubernetes has set a variable. If an option has the same
// variable, the form of the value decides.
func (r *resolver) isServiceLink(name, value string) bool {
	if !linkName().MatchString(name) {
		return false
	}
	ours := slices.ContainsFunc(r.Known(), func(o Option) bool { return slices.Contains(o.Env, name) })
	return !ours || isLinkAddress(value)
}

// isLinkAddress reports whether value has the form tcp://10.96.0.12:53.
func isLinkAddress(value string) bool {
	scheme, address, ok := strings.Cut(value, "://")
	host, port, err := net.SplitHostPort(address)
	_, perr := strconv.ParseUint(port, 10, 16)
	return ok && err == nil && perr == nil && host != "" && slices.Contains([]string{"tcp", "udp", "sctp"}, strings.ToLower(scheme))
}

// warnOfLinks warns about all service links at once.
func (r *resolver) warnOfLinks(names []string) {
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	r.warn("ignored, because Kubernetes has set them for a service of that name: %s (to avoid them, set enableServiceLinks: false in the pod's spec)", strings.Join(names, ", "))
}
