//go:build linux

// Package bpf loads and attaches the kernel programs, which choose DNS packets, count
// all packets, and copy the chosen ones into rings. Options and interface indexes
// come in; rings of records and counters go out. It must not import anything of this
// project; its tests compare it with userspace/packet and userspace/decode. The tests
// build their packets from parts (packets_test.go), and run the programs on them or
// send them through interfaces in a network namespace of their own. README.md says
// what is in which file.
//
// All functions work in the network namespace of the calling thread.
package bpf

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// MinRingBytes is the smallest ring that holds a packet of 64 KiB. Frames that the
// kernel has merged, of up to 512 KiB, need a ring of 1 MiB.
const MinRingBytes = 128 << 10

// MaxRingBytes is the largest ring. A process of 32 bits has no addresses for more: a
// ring is mapped twice.
const MaxRingBytes = 1 << (29 + 2*(^uint(0)>>63))

// The compiler refuses a negative number: a packet of 64 KiB would never fit.
const _ = uint(MinRingBytes - (sensorRecordSizeCLASS_6 + ringHeader))

// Options are fixed once the programs are loaded.
type Options struct {
	Ports         []uint16 // UDP and TCP; a packet matches by either of its ports
	Keep, Of      uint32   // deliver Keep of every Of packets; 0 of 0 is all
	FlowSampling  bool     // sample UDP by conversation, not by packet
	SnapLen       uint32   // bytes of a frame to deliver; 0 is all
	Rings         int      // one for each lane
	RingBytes     int      // of each ring: a power of two, MinRingBytes to MaxRingBytes
	FragmentQuota uint32   // fragments of unknown datagrams to deliver, per second and CPU
	XDP           bool     // load the XDP programs, too
	Tap           bool     // load only XDP programs, which drop every frame that they see: for ModeTap alone

	// Decap lists the tunnels to look into, one level deep, by the numbers of
	// packet.Tunnel, or PPPoE. TunnelPorts says which UDP ports carry which tunnels,
	// including those that are not in Decap: a nested tunnel is recognized by them, and
	// delivered whole.
	Decap       []uint8
	TunnelPorts []TunnelPort
}

// PPPoE is a tunnel for Options.Decap that packet.Tunnel does not have.
const PPPoE = uint8(sensorTunnelTUNNEL_PPPOE)

// TunnelPort is a UDP port that carries a tunnel.
type TunnelPort struct {
	Number uint16
	Tunnel uint8
}

// MaxTunnelPorts bounds Options.TunnelPorts.
const MaxTunnelPorts = len(sensorSettings{}.Ports)

// Kernel holds the loaded programs and maps. A process can drop its rights after
// Load: TCX, XDP and counters need none afterwards; clsact and FindNeighbours need
// CAP_NET_ADMIN.
type Kernel struct {
	coll  *ebpf.Collection
	maps  []*ebpf.Map // of the rings
	rings []*Ring
	hooks []hookID
	tap   bool // Options.Tap
	tcx   bool // the kernel has TCX; probed while the process has the rights to
}

type hookID sensorHookId

const (
	hookXDP     = hookID(sensorHookIdHOOK_XDP)
	hookIngress = hookID(sensorHookIdHOOK_TC_INGRESS)
	hookEgress  = hookID(sensorHookIdHOOK_TC_EGRESS)
)

func (h hookID) String() string {
	return [...]string{hookXDP: "xdp", hookIngress: "tc ingress", hookEgress: "tc egress"}[h]
}

// noFrags ends the names of copies of the XDP programs that take no frames in several
// buffers: not every driver supports those.
const noFrags = "_nofrags"

func (o *Options) check() error {
	switch {
	case len(o.Ports) == 0:
		return errors.New("no ports to watch")
	case o.Of > 0 && (o.Keep == 0 || o.Keep > o.Of), o.Of == 0 && o.Keep > 0:
		return fmt.Errorf("sampling ratio %d:%d does not keep 1 to all", o.Keep, o.Of)
	case o.Rings < 1:
		return fmt.Errorf("%d rings", o.Rings)
	case o.RingBytes < MinRingBytes || bits.OnesCount(uint(o.RingBytes)) != 1 || o.RingBytes > MaxRingBytes:
		return fmt.Errorf("ring of %d bytes is not a power of two from %d to %d", o.RingBytes, MinRingBytes, MaxRingBytes)
	case len(o.TunnelPorts) > MaxTunnelPorts:
		return fmt.Errorf("%d ports of tunnels, at most %d", len(o.TunnelPorts), MaxTunnelPorts)
	}
	return nil
}

func (o *Options) xdp() bool { return o.XDP || o.Tap }

// watermark returns the number of unread bytes at which the kernel wakes a reader.
func (o *Options) watermark() int { return min(o.RingBytes/8, 256<<10) }

func (o *Options) settings() sensorSettings {
	s := sensorSettings{
		SnapLen:   o.SnapLen,
		Rings:     uint32(o.Rings),
		Watermark: uint32(o.watermark()),
		Quota:     o.FragmentQuota,
	}
	if o.Keep < o.Of {
		s.SampleKeep, s.SampleOf = o.Keep, o.Of
	}
	if o.FlowSampling {
		s.SampleFlow = 1
	}
	if o.Tap {
		s.Tap = 1
	}
	for _, t := range o.Decap {
		s.Decap |= 1 << t
	}
	for i, p := range o.TunnelPorts {
		s.Ports[i].Number, s.Ports[i].Tunnel = p.Number, uint16(p.Tunnel)
	}
	return s
}

// Load loads programs and maps, and attaches nothing. The caller closes the Kernel.
// If the kernel refuses, the error names the rights or the kernel feature that are
// missing, as far as probing can tell.
func Load(o Options) (*Kernel, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("load programs: %w", err)
	}
	// Needed before Linux 5.11; if it fails, loading says why. The library's package
	// rlimit would probe the kernel at every start of the program.
	_ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	k, err := load(o)
	if err != nil {
		return nil, fmt.Errorf("load programs: %w", explain(err, o.xdp()))
	}
	return k, nil
}

func load(o Options) (_ *Kernel, err error) {
	spec, err := loadSensor()
	if err != nil {
		return nil, err
	}
	if err := configure(spec, o); err != nil {
		return nil, err
	}
	k := &Kernel{hooks: []hookID{hookIngress, hookEgress}, tap: o.Tap, tcx: HaveTCX() == nil}
	switch {
	case o.Tap:
		k.hooks = []hookID{hookXDP}
	case o.XDP:
		k.hooks = []hookID{hookXDP, hookIngress, hookEgress}
	}
	defer func() {
		if err != nil {
			k.Close()
		}
	}()
	for i := range o.Rings {
		m, err := ebpf.NewMap(spec.Maps[sensorMapRings].InnerMap)
		if err != nil {
			return nil, fmt.Errorf("create ring %d of %d, %d bytes: %w", i+1, o.Rings, o.RingBytes, err)
		}
		k.maps = append(k.maps, m)
		r, err := openRing(m, o.watermark())
		if err != nil {
			return nil, fmt.Errorf("open ring %d of %d: %w", i+1, o.Rings, err)
		}
		k.rings = append(k.rings, r)
		spec.Maps[sensorMapRings].Contents = append(spec.Maps[sensorMapRings].Contents,
			ebpf.MapKV{Key: uint32(i), Value: m})
	}
	k.coll, err = ebpf.NewCollection(spec)
	return k, err
}

func configure(spec *ebpf.CollectionSpec, o Options) error {
	portBits := make([]byte, 65536/8)
	for _, p := range o.Ports {
		portBits[p>>3] |= 1 << (p & 7)
	}
	if err := spec.Variables[sensorVarPortBits].Set(portBits); err != nil {
		return err
	}
	if err := spec.Variables[sensorVarConfig].Set(o.settings()); err != nil {
		return err
	}
	rings := spec.Maps[sensorMapRings]
	rings.MaxEntries = uint32(o.Rings)
	rings.InnerMap.MaxEntries = uint32(o.RingBytes)
	for name, p := range spec.Programs {
		if p.Name = displayName(p.Type, name, o.Tap); o.Tap && p.Type != ebpf.XDP {
			delete(spec.Programs, name)
		}
	}
	for _, name := range []string{sensorProgXdpEth, sensorProgXdpL3} {
		if !o.xdp() {
			delete(spec.Programs, name)
			continue
		}
		p := spec.Programs[name].Copy()
		p.Flags &^= unix.BPF_F_XDP_HAS_FRAGS
		spec.Programs[name+noFrags] = p
	}
	return nil
}

// namePrefix begins the name that bpftool and others show of each of our programs.
const namePrefix = "dnsmonster_"

// tapName is the name of an XDP program that drops all frames.
const tapName = namePrefix + "tap"

// displayName returns a program's name for such tools, at most 15 characters.
func displayName(t ebpf.ProgramType, name string, tap bool) string {
	switch {
	case tap:
		return tapName
	case t == ebpf.XDP:
		return namePrefix + "xdp"
	case strings.HasPrefix(name, "tc_egress"):
		return namePrefix + "out"
	}
	return namePrefix + "in"
}

// IsOurs reports whether a program of this name is one of this package's, loaded by
// any process.
func IsOurs(program string) bool { return strings.HasPrefix(program, namePrefix) }

// IsTap reports whether a program of this name is one of ours that drops all frames.
func IsTap(program string) bool { return program == tapName }

// Rings returns the rings, one for each lane. They belong to the Kernel and are
// closed with it.
func (k *Kernel) Rings() []*Ring { return k.rings }

// Close frees programs, maps and rings; records of the rings must not be used any
// more. Attached programs keep running until their Attachment is closed.
func (k *Kernel) Close() error {
	if k.coll != nil {
		k.coll.Close()
	}
	var errs []error
	for _, r := range k.rings {
		errs = append(errs, r.close())
	}
	for _, m := range k.maps {
		errs = append(errs, m.Close())
	}
	k.rings, k.maps = nil, nil
	return errors.Join(errs...)
}

// ObjectHash identifies the compiled programs, for bug reports.
func ObjectHash() string {
	sum := sha256.Sum256(_SensorBytes)
	return hex.EncodeToString(sum[:6])
}
