//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// way is one of the compared ways to capture, with its results.
type way struct {
	name    string
	options []string // of attach; the reference has none, and is no way of the sensor
	wire    bool     // its hook is in the driver: frames come over the veth pair
	offered int      // 0: search for the highest rate without loss; otherwise only this rate is tried

	missing string  // why it was not measured; "" if it was
	paced   []trial // at the rate for comparing CPU time
	best    trial   // at the highest rate without loss, or at the one offered
	limit   limit
}

// ways returns the table of all ways. CPU time is compared with that of the first one.
func ways() []*way {
	return []*way{
		{name: "tcx", options: []string{"--mode=tcx"}},
		{name: "afpacket", options: []string{"--mode=afpacket"}},
		{name: "pcap", options: []string{"--mode=pcap"}},
		{name: "xdp", options: []string{"--mode=xdp"}, wire: true},
		{name: "tap", options: []string{"--tap"}, wire: true},
		{name: "tap 1:10", options: []string{"--tap", "--sampleratio=1:10"}, wire: true, offered: 1_000_000},
		{name: plain},
	}
}

// plain is the name of the way that is not the sensor's: the reference behind AF_PACKET.
const plain = "reference"

// choose returns the ways whose names begin with one of the words, all without words.
func choose(all []*way, words string) ([]*way, error) {
	list := strings.FieldsFunc(words, func(r rune) bool { return r == ',' })
	if len(list) == 0 {
		return all, nil
	}
	var chosen []*way
	for _, w := range all {
		if slices.ContainsFunc(list, func(word string) bool { return strings.HasPrefix(w.name, word) }) {
			chosen = append(chosen, w)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("-only %s: no way to capture begins so", words)
	}
	return chosen, nil
}

// command is the command line of a way. self is this program.
func (w *way) command(sensor, self string, common []string) []string {
	if w.name == plain {
		return []string{self, "reference-live", readIface}
	}
	return slices.Concat([]string{sensor, "attach", "-v", readIface}, w.options, common)
}

// probe starts and stops a way, and notes why if it does not work: a build or a host may
// lack it.
func (w *way) probe(ctx context.Context, h *host, command []string) {
	c, err := h.start(ctx, command...)
	if err == nil {
		_, err = c.stop()
	}
	if err != nil {
		w.missing = lastLine(err.Error())
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// cost is what one packet costs in a way, in ns: the median of all rounds.
type cost struct {
	process float64 // the capturing process, user and system
	kernel  float64 // on the processor where packets arrive, beyond what they cost there without capturing
	lost    int     // packets of all rounds
	sent    int
}

func (c cost) both() float64 { return c.process + c.kernel }

// cost compares with what frames cost that nobody captures.
func (w *way) cost(nobody float64) (c cost) {
	var process, kernel []float64
	for i := range w.paced {
		t := &w.paced[i]
		process = append(process, t.each(t.cpu))
		kernel = append(kernel, t.busy()-nobody)
		c.lost, c.sent = c.lost+t.lost, c.sent+t.Sent
	}
	c.process, c.kernel = middle(process), middle(kernel)
	return c
}

// busy is the generator's processor time for each frame, in ns.
func (t *trial) busy() float64 { return float64(t.Each.Nanoseconds()) }

func middle(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
