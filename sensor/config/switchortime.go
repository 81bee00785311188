package config

import (
	"fmt"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"
)

// SwitchOrTimeFlag is a switch that can have a time: --wait, --wait=30s. Read its value
// with ParseSwitchOrTime.
type SwitchOrTimeFlag struct{ cli.StringFlag }

// TakesValue implements cli.DocGenerationFlag: the next word of the command line is not
// the value.
func (f *SwitchOrTimeFlag) TakesValue() bool { return false }

// normalSwitchOrTime returns "true", "false", or a time as Go writes it.
func normalSwitchOrTime(text string) (string, error) {
	if text == "" {
		return "true", nil
	}
	if on, err := strconv.ParseBool(text); err == nil && text != "0" && text != "1" {
		return strconv.FormatBool(on), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return "", fmt.Errorf("%q is neither true nor false, nor a time such as 30s or 5m", text)
	}
	if d == 0 {
		return "false", nil
	}
	return d.String(), nil
}

// ParseSwitchOrTime returns 0 for a switch that is off, a negative number for one that is
// on without a time, else the time.
func ParseSwitchOrTime(value string) time.Duration {
	if value == "" { // the flag has not been set
		return 0
	}
	normal, _ := normalSwitchOrTime(value)
	switch normal {
	case "false":
		return 0
	case "true":
		return -1
	}
	d, _ := time.ParseDuration(normal)
	return d
}
