package config

import (
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Kubernetes gives the containers of a pod variables for each service of their
// namespace, and Docker did so for each link. Those of a service whose name starts
// with "dnsmonster" look like ours, and one of them has the name of an option.

var linkName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^DNSMONSTER(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)
})

// isServiceLink tells whether a variable is Kubernetes' and not ours. Where its
// name is that of an option, its value must be an address as only they write it.
func (r *resolver) isServiceLink(name, value string) bool {
	if !linkName().MatchString(name) {
		return false
	}
	ours := slices.ContainsFunc(r.Known(), func(o Option) bool { return slices.Contains(o.Env, name) })
	return !ours || isLinkAddress(value)
}

// isLinkAddress knows tcp://10.96.0.12:53.
func isLinkAddress(value string) bool {
	scheme, address, ok := strings.Cut(value, "://")
	host, port, err := net.SplitHostPort(address)
	_, perr := strconv.ParseUint(port, 10, 16)
	return ok && err == nil && perr == nil && host != "" && slices.Contains([]string{"tcp", "udp", "sctp"}, strings.ToLower(scheme))
}

// warnOfLinks names all of them once.
func (r *resolver) warnOfLinks(names []string) {
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	r.warn("ignored, since Kubernetes has set them for a service of that name: %s (enableServiceLinks: false in the pod's spec leaves them out)", strings.Join(names, ", "))
}
