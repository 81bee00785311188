package watch

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
)

// Check reports which of the named interfaces do not exist. It changes nothing.
func Check(names []string) error {
	var errs []error
	for _, name := range names {
		var missing netlink.LinkNotFoundError
		if _, err := netlink.LinkByName(name); name == Any || !errors.As(err, &missing) {
			continue
		}
		var existing []string
		if all, err := net.Interfaces(); err == nil {
			for _, i := range all {
				existing = append(existing, i.Name)
			}
		}
		errs = append(errs, NoInterface(name, existing))
	}
	return errors.Join(errs...)
}

// Exists reports whether there is an interface of this name, or the name means all.
func Exists(name string) bool {
	if name == Any {
		return true
	}
	_, err := netlink.LinkByName(name)
	return name != "" && err == nil
}

// maxExisting is how many interfaces an error lists: a host may have hundreds.
const maxExisting = 10

// NoInterface is the error for a name that no interface has.
func NoInterface(name string, existing []string) error {
	hint := ""
	switch {
	case strings.ContainsAny(name, "*?["):
		hint = "; patterns are not read: name each interface, or any for all"
	case strings.Contains(name, ","):
		hint = "; write several with spaces between them"
	}
	if more := len(existing) - maxExisting; more > 0 {
		existing = append(existing[:maxExisting:maxExisting], fmt.Sprintf("and %d more", more))
	}
	return fmt.Errorf("no interface %s (there are: %s)%s", name, strings.Join(existing, ", "), hint)
}
