package live

import (
	"errors"
	"fmt"
	"strings"
)

// refusals are the reasons why modes cannot be used. Modes with the same reason share it.
type refusals []refusal

type refusal struct {
	modes []string
	err   error
}

func (r *refusals) add(m Mode, err error) {
	for i := range *r {
		if (*r)[i].err.Error() == err.Error() {
			(*r)[i].modes = append((*r)[i].modes, string(m))
			return
		}
	}
	*r = append(*r, refusal{[]string{string(m)}, err})
}

// String is such as "not by tcx or clsact (missing CAP_BPF)", "" if there are none.
func (r refusals) String() string {
	var list []string
	for _, x := range r {
		list = append(list, fmt.Sprintf("not by %s (%v)", strings.Join(x.modes, " or "), shortReason(x.err)))
	}
	return strings.Join(list, ", ")
}

// err is the error if no mode is left.
func (r refusals) err() error {
	switch len(r) {
	case 0:
		return errors.New("this build cannot capture from interfaces here: on systems other than Linux it must be built with -tags libpcap")
	case 1:
		return r[0].err
	}
	var list []string
	for _, x := range r {
		list = append(list, fmt.Sprintf("%s: %v", strings.Join(x.modes, " and "), x.err))
	}
	return errors.New("no way to capture works here: " + strings.Join(list, "; "))
}
