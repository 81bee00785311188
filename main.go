// Command dnsmonster-sensor records the DNS messages that pass a Linux host.
package main

import (
	"os"

	"dnsmonster-sensor/sensor/cli"
)

func main() { os.Exit(cli.Main(os.Args, os.Stdout, os.Stderr)) }
