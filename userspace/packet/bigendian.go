//go:build armbe || arm64be || m68k || mips || mips64 || mips64p32 || ppc || ppc64 || s390 || s390x || shbe || sparc || sparc64

package packet

// The kernel program of the sensor is built for little-endian processors only: its lane
// hash reads addresses as such words (bpf/hash.h).
const _ = this_sensor_runs_on_little_endian_processors_only
