//go:build linux

package main

import (
	"fmt"
	"strings"
)

func (f *liveFigures) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", machine(f.options.sensor))
	fmt.Fprintf(&b, "The first %d frames of %s in turn, JSON to /dev/null, `attach %s`. Processor %d makes the frames and takes them through the kernel; the capturing program has the others (%d).\n\n",
		f.frames, f.capture, f.options.options, f.host.generator, f.host.processors.Count())
	f.writeCosts(&b)
	for _, w := range f.ways {
		if w.missing != "" {
			fmt.Fprintf(&b, "Not measured: %s: %s\n\n", w.name, w.missing)
		}
	}
	if !f.options.cpuOnly {
		f.writeRates(&b)
		f.writeShares(&b)
	}
	return b.String()
}

// writeCosts compares CPU time at a rate that all can follow.
func (f *liveFigures) writeCosts(b *strings.Builder) {
	fmt.Fprintf(b, "| ns per packet at %d packets/s, median of %d runs | process | kernel | both | x %s | lost |\n|---|---|---|---|---|---|\n",
		f.options.rate, f.options.rounds, f.ways[0].name)
	fmt.Fprintf(b, "| replay of the file | %.0f | - | %.0f | - | 0 |\n", f.replay*1e9, f.replay*1e9)
	first := f.ways[0].cost(f.nobody).both()
	for _, w := range f.measured(true) {
		c := w.cost(f.nobody)
		ratio := "-"
		if first > 0 {
			ratio = fmt.Sprintf("%.2f", c.both()/first)
		}
		fmt.Fprintf(b, "| %s | %.0f | %.0f | %.0f | %s | %d of %d |\n", w.name, c.process, c.kernel, c.both(), ratio, c.lost, c.sent)
	}
	fmt.Fprintf(b, "\nkernel: the time of the processor where packets arrive, without the %.0f ns that they cost there if nobody captures.\n\n", f.nobody)
}

// writeRates has the highest rates without loss.
func (f *liveFigures) writeRates(b *strings.Builder) {
	b.WriteString("| | highest rate without loss, packets/s | limit |\n|---|---|---|\n")
	for _, w := range f.measured(true) {
		fmt.Fprintf(b, "| %s | %.0f | %s |\n", w.name, w.best.PerSecond(), w.limit)
	}
	b.WriteString("\n")
	for _, w := range f.measured(false) {
		switch {
		case w.offered > 0:
			fmt.Fprintf(b, "%s: %d packets/s were offered and %.0f sent for %.1f s; %d of %d were lost%s.\n\n", w.name, w.offered,
				w.best.PerSecond(), w.best.Took.Seconds(), w.best.lost, w.best.Sent, strings.TrimRight(" "+w.best.where, " "))
		case w.name == plain && f.ways[0] != w && f.ways[0].missing == "":
			fmt.Fprintf(b, "%s\n\n", ratio(f.ways[0], w))
		}
	}
}

// ratio compares the highest rates of two ways. It says nothing if the generator was the
// limit of both.
func ratio(ours, other *way) string {
	switch r := ours.best.PerSecond() / max(other.best.PerSecond(), 1); {
	case other.limit.generator:
		return "The generator was the limit of the reference, too: the ratio is unknown. The machine is too busy or too small."
	case ours.limit.generator:
		return fmt.Sprintf("%s to reference: at least %.1f.", ours.name, r)
	default:
		return fmt.Sprintf("%s to reference: %.1f.", ours.name, r)
	}
}

// writeShares says how the processors spent their time at the highest rates.
func (f *liveFigures) writeShares(b *strings.Builder) {
	rows := make([]string, len(shareNames))
	copy(rows, shareNames[:])
	head, line := "| at the highest rate, ns per packet", "|---"
	for _, w := range f.measured(true) {
		head, line = head+" | "+w.name, line+"|---"
		for i, ns := range w.best.shares(f.floor, f.host.processors.Count()) {
			rows[i] += fmt.Sprintf(" | %.0f", ns)
		}
	}
	fmt.Fprintf(b, "%s |\n%s|\n", head, line)
	for _, row := range rows {
		fmt.Fprintf(b, "| %s |\n", row)
	}
}

// shareNames names the values that trial.shares returns.
var shareNames = [...]string{
	"time of each processor",
	"generator's processor: making the frame",
	"the same: the network stack, as without capturing",
	"the same: what capturing adds, and saves",
	"the same: waiting for the time of the next frame",
	"other processors: the capturing program, user",
	"the same: the capturing program, system",
	"the same: idle, and everything else",
}

// shares returns the processors' time per frame, in ns.
func (t *trial) shares(f floor, readers int) [len(shareNames)]float64 {
	took := t.each(t.Took.Seconds())
	idle := t.each(t.Idle.Seconds())
	user, system := t.each(t.during.user), t.each(t.during.all-t.during.user)
	return [...]float64{
		took, f.making, f.stack, took - idle - f.making - f.stack, idle,
		user, system, took*float64(readers) - user - system,
	}
}
