package live

import (
	"os"
	"strings"
	"syscall"
)

// Report says what a host allows.
type Report struct {
	Kernel     string            `json:"kernel"`
	Features   []Feature         `json:"features"`
	Mode       Mode              `json:"mode,omitempty"` // that `attach --mode=auto` would use; "" if none works
	Why        string            `json:"why"`
	Missing    []string          `json:"missing_rights,omitempty"` // if no mode works
	Advice     []string          `json:"advice,omitempty"`
	Tunnels    string            `json:"tunnels"` // what is captured of their contents
	Interfaces []InterfaceReport `json:"interfaces"`
}

// Check examines the host and the named interfaces, or all of them. It attaches
// nothing.
func Check(names []string) (*Report, error) {
	r := &Report{
		Kernel: systemName(), Features: features(),
		Tunnels: "capture on the tunnel's own interface, or below it with --decap, such as --decap=vxlan,gre",
	}
	b, not := best()
	switch {
	case b.open != nil:
		r.Mode, r.Why = b.mode, b.why
		if len(not) > 0 {
			r.Why += "; " + not.String()
		}
	default:
		r.Why, r.Missing = shortReason(not.err()), MissingRights(ModeAuto)
	}
	r.Advice = advice(r.Mode)
	var err error
	r.Interfaces, err = checkInterfaces(names, r.Mode)
	return r, err
}

// shortReason leaves out what a name of a right says already.
func shortReason(err error) string {
	return strings.NewReplacer(": "+os.ErrPermission.Error(), "", ": "+syscall.EPERM.Error(), "").Replace(err.Error())
}

// Feature is something that the kernel or our privileges may lack.
type Feature struct {
	Name    string `json:"name"`
	Have    bool   `json:"have"`
	Unknown bool   `json:"unknown,omitempty"` // this process may not ask
	Reason  string `json:"reason,omitempty"`  // why not
}

// InterfaceReport says what one interface allows.
type InterfaceReport struct {
	Name       string   `json:"name"` // as --devname takes it
	About      string   `json:"description,omitempty"`
	Up         bool     `json:"up"`
	Type       string   `json:"type"`
	MTU        int      `json:"mtu"`
	Mode       Mode     `json:"mode,omitempty"`
	Attached   []string `json:"attached,omitempty"` // programs and sockets on it, in the order in which packets reach them
	Hidden     []string `json:"hidden,omitempty"`   // traffic that we would not see
	Advice     []string `json:"advice,omitempty"`
	Impossible string   `json:"impossible,omitempty"` // why it cannot be captured
}
