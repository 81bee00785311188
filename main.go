// Command dnsmonster-sensor records the DNS messages that pass a Linux host.
package main

import (
	"os"

	"dnsmonster-sensor/sensor"
)

func main() { os.Exit(sensor.Main(os.Args, os.Stdout, os.Stderr)) }
