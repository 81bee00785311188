package bpf

import "strings"

// Capturable reports whether the programs understand an interface's frames, and
// if not, why.
func Capturable(ifindex int) error {
	_, err := findDevice(ifindex)
	return err
}

// IsOurs tells by its name whether a program is one of this package's, of this
// process or another. The kernel keeps 15 characters.
func IsOurs(program string) bool {
	for _, name := range []string{
		sensorProgXdpEth, sensorProgTcIngressEth, sensorProgTcEgressEth,
		sensorProgXdpL3, sensorProgTcIngressL3, sensorProgTcEgressL3,
	} {
		if program != "" && strings.HasPrefix(name, program[:min(len(program), 15)]) && len(program) >= min(len(name), 15) {
			return true
		}
	}
	return false
}
