//go:build linux

package afpacket

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// program assembles a classic BPF program. Its jumps go to labels, forward only, as the
// kernel demands; assemble finds the distances.
type program struct {
	code   []instruction
	labels []int // positions in code, -1 before mark
}

type label int

// next as the target of a branch means the following instruction.
const next label = -1

type instruction struct {
	op      uint16
	k       uint32
	yes, no label // of a branch; of a jump, yes
}

// maxInstructions is the kernel's BPF_MAXINSNS.
const maxInstructions = 4096

// Places in the scratch memory.
const (
	memL3    = iota // offset of the IP header
	memKind         // EtherType
	memProto        // what follows a header of IPv6
	memA
	memB
	memSum
	memHash
)

// Offsets at which loads return what the kernel knows about the packet.
const (
	adOff      = 0xfffff000 // SKF_AD_OFF
	adProtocol = adOff + 0
	adPktType  = adOff + 4
	adHaType   = adOff + 28
)

func (p *program) label() label {
	p.labels = append(p.labels, -1)
	return label(len(p.labels) - 1)
}

// mark puts a label in front of the next instruction.
func (p *program) mark(l label) { p.labels[l] = len(p.code) }

func (p *program) op(op uint16, k uint32) {
	p.code = append(p.code, instruction{op: op, k: k})
}

// The loads fill A. Those that end in X add X to the offset. A load beyond the packet
// ends the program with 0.
func (p *program) load8(at uint32)   { p.op(unix.BPF_LD|unix.BPF_B|unix.BPF_ABS, at) }
func (p *program) load16(at uint32)  { p.op(unix.BPF_LD|unix.BPF_H|unix.BPF_ABS, at) }
func (p *program) load32(at uint32)  { p.op(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, at) }
func (p *program) load8X(at uint32)  { p.op(unix.BPF_LD|unix.BPF_B|unix.BPF_IND, at) }
func (p *program) load16X(at uint32) { p.op(unix.BPF_LD|unix.BPF_H|unix.BPF_IND, at) }
func (p *program) load32X(at uint32) { p.op(unix.BPF_LD|unix.BPF_W|unix.BPF_IND, at) }

func (p *program) loadMem(m uint32)  { p.op(unix.BPF_LD|unix.BPF_MEM, m) }
func (p *program) storeMem(m uint32) { p.op(unix.BPF_ST, m) }
func (p *program) loadMemX(m uint32) { p.op(unix.BPF_LDX|unix.BPF_MEM, m) }
func (p *program) setX(k uint32)     { p.op(unix.BPF_LDX|unix.BPF_IMM, k) }
func (p *program) copyToX()          { p.op(unix.BPF_MISC|unix.BPF_TAX, 0) }
func (p *program) copyFromX()        { p.op(unix.BPF_MISC|unix.BPF_TXA, 0) }

// compute is A = A op k; computeX is A = A op X.
func (p *program) compute(op uint16, k uint32) { p.op(unix.BPF_ALU|op|unix.BPF_K, k) }
func (p *program) computeX(op uint16)          { p.op(unix.BPF_ALU|op|unix.BPF_X, 0) }

// skip adds n to X. It changes A.
func (p *program) skip(n uint32) {
	p.copyFromX()
	p.compute(unix.BPF_ADD, n)
	p.copyToX()
}

func (p *program) branch(op uint16, k uint32, yes, no label) {
	p.code = append(p.code, instruction{op: unix.BPF_JMP | op | unix.BPF_K, k: k, yes: yes, no: no})
}

// ifEqual jumps if A is one of the values.
func (p *program) ifEqual(to label, values ...uint32) {
	for _, v := range values {
		p.branch(unix.BPF_JEQ, v, to, next)
	}
}

func (p *program) jump(to label) {
	p.code = append(p.code, instruction{op: unix.BPF_JMP | unix.BPF_JA, yes: to})
}

func (p *program) returns(k uint32) { p.op(unix.BPF_RET|unix.BPF_K, k) }
func (p *program) returnsA()        { p.op(unix.BPF_RET|unix.BPF_A, 0) }

func (i *instruction) isBranch() bool {
	return i.op&7 == unix.BPF_JMP && i.op != unix.BPF_JMP|unix.BPF_JA
}

// assemble returns the program. A branch reaches 255 instructions; one that has to reach
// further becomes a branch and two jumps.
func (p *program) assemble() ([]unix.SockFilter, error) {
	long := make([]bool, len(p.code))
	at := make([]int, len(p.code)+1)
	target := func(from int, l label) int {
		if l == next {
			return at[from+1]
		}
		return at[p.labels[l]]
	}
	for again := true; again; {
		again = false
		for n := range p.code {
			if at[n+1] = at[n] + 1; long[n] {
				at[n+1] = at[n] + 3
			}
		}
		for n, i := range p.code {
			if i.isBranch() && !long[n] && max(target(n, i.yes), target(n, i.no))-at[n]-1 > 255 {
				long[n], again = true, true
			}
		}
	}
	if at[len(p.code)] > maxInstructions {
		return nil, fmt.Errorf("a filter of %d instructions, at most %d", at[len(p.code)], maxInstructions)
	}
	var out []unix.SockFilter
	for n, i := range p.code {
		jump := func(l label) unix.SockFilter {
			return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(target(n, l) - len(out) - 1)}
		}
		switch {
		case i.isBranch() && long[n]:
			out = append(out, unix.SockFilter{Code: i.op, K: i.k, Jf: 1})
			out = append(out, jump(i.yes))
			out = append(out, jump(i.no))
		case i.isBranch():
			out = append(out, unix.SockFilter{Code: i.op, K: i.k, Jt: uint8(target(n, i.yes) - at[n] - 1), Jf: uint8(target(n, i.no) - at[n] - 1)})
		case i.op == unix.BPF_JMP|unix.BPF_JA:
			out = append(out, jump(i.yes))
		default:
			out = append(out, unix.SockFilter{Code: i.op, K: i.k})
		}
	}
	return out, nil
}
