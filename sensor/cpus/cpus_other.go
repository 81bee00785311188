//go:build !linux

package cpus

import (
	"errors"
	"math"
)

var errNoPinning = errors.New("only Linux can bind threads to processors")

// Allowed returns an error: the list is for Pin.
func Allowed() ([]int, error) { return nil, errNoPinning }

// Pin returns an error.
func Pin(int) error { return errNoPinning }

// quota returns no limit: these systems have no control groups.
func quota(string) float64 { return math.Inf(1) }
