//go:build linux

package main

import (
	"slices"
	"testing"
)

func TestLatency(t *testing.T) {
	took, err := answerTimes([]byte("Statistics:\n> NOERROR h1.example.org A 0.000125\n> T 17\n> NXDOMAIN h2.example.org A 0.001000\n\n  Queries sent: 3\n"))
	if want := []float64{125, 1000}; err != nil || !slices.Equal(took, want) {
		t.Errorf("%v, %v, want %v", took, err, want)
	}
	if _, err := answerTimes([]byte("> NOERROR h1.example.org A soon\n")); err == nil {
		t.Error("a line without a time is read")
	}
	var list []float64
	for i := range 200 {
		list = append(list, float64(200-i))
	}
	if p := percentilesOf(list); p.p50 != 101 || p.p99 != 199 {
		t.Errorf("percentiles %+v", p)
	}
	with, without := []percentiles{{110, 200}, {90, 330}, {100, 220}}, []percentiles{{100, 200}, {85, 300}, {98, 200}}
	if got, want := latencyRow("tcx", with, without), "| tcx | 98 | 100 | +5.0 | 200 | 220 | +10.0 % |\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
