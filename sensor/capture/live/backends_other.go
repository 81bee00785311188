//go:build !linux

package live

// backEnds are those of systems other than Linux.
func backEnds() []backEnd { return []backEnd{pcapBackEnd()} }

// CheckTap returns nil: ModeTap is an error everywhere else.
func CheckTap([]string) error { return nil }

// MissingRights returns nil: these systems have no capabilities.
func MissingRights(Mode) []string { return nil }

// ProgramHash is for kernels with eBPF only.
func ProgramHash() string { return "none" }
