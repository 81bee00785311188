package ring

import "fmt"

// Mode says by which hooks packets are captured on an interface.
type Mode string

// The modes, as on the command line.
const (
	ModeAuto   Mode = "auto"   // TCX, or clsact on kernels before 6.6
	ModeTCX    Mode = "tcx"    // TC programs at the head of the chain, both directions
	ModeClsact Mode = "clsact" // TC programs as first filters of a clsact qdisc, both directions
	ModeXDP    Mode = "xdp"    // XDP for what comes in, TC for what goes out
)

// ParseMode checks the value of an option.
func ParseMode(s string) (Mode, error) {
	switch m := Mode(s); m {
	case ModeAuto, ModeTCX, ModeClsact, ModeXDP:
		return m, nil
	}
	return "", fmt.Errorf("unknown mode %q: use auto, tcx, clsact or xdp", s)
}
