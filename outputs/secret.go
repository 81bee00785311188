package outputs

import "github.com/urfave/cli/v2"

// SecretFlag declares an option for a password or token. It is never shown, and
// can be given in three more ways, all of which keep it out of process lists:
// in a file that the option <name>file names, by that option's environment
// variable, and as a systemd credential of the option's name.
type SecretFlag struct {
	cli.StringFlag
	FileEnv string // of <name>file: DNSMONSTER_<NAME>FILE, spelled out
}
