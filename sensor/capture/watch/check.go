package watch

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
)

// Check says which of the interfaces that a Ring would be opened for
// are not there. It changes nothing.
func Check(names []string) error {
	var errs []error
	for _, name := range names {
		var missing netlink.LinkNotFoundError
		if _, err := netlink.LinkByName(name); name == Any || !errors.As(err, &missing) {
			continue
		}
		var there []string
		if all, err := net.Interfaces(); err == nil {
			for _, i := range all {
				there = append(there, i.Name)
			}
		}
		errs = append(errs, fmt.Errorf("interface %s: there is none (there are: %s)", name, strings.Join(there, ", ")))
	}
	return errors.Join(errs...)
}
