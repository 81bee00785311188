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

// NoInterface is the error for a name that no interface has.
func NoInterface(name string, existing []string) error {
	return fmt.Errorf("interface %s: there is none (there are: %s)", name, strings.Join(existing, ", "))
}
