//go:build !linux

package live

// backEnds are those of systems other than Linux.
func backEnds() []backEnd { return []backEnd{pcapBackEnd()} }

// MissingRights returns nil: these systems have no capabilities.
func MissingRights(Mode) []string { return nil }

// ProgramHash is for kernels with eBPF only.
func ProgramHash() string { return "none" }
