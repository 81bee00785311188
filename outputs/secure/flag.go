// Package secure has the options by which users say how connections are
// secured: certificates, keys, names and passwords. They are named by one rule,
// <output>cafile, <output>certfile, <output>keyfile, <output>username,
// <output>password and <output>passwordfile, but for those that have another name
// in dnsmonster's manual. It imports nothing of this project.
package secure

import (
	"strings"

	"github.com/urfave/cli/v2"
)

// OptionName is the option that belongs to an environment variable: DNSMONSTER_X is
// --x. Variables are what declarations spell out, so that whoever searches the
// sources for one finds its option.
func OptionName(env string) string {
	return strings.ToLower(strings.TrimPrefix(env, "DNSMONSTER_"))
}

// SecretFlag declares an option for a password or token. It is never shown, and
// can be given in three more ways, all of which keep it out of process lists:
// in a file that the option <name>file names, by that option's environment
// variable, and as a systemd credential of the option's name.
type SecretFlag struct {
	cli.StringFlag
	FileEnv string // of <name>file: DNSMONSTER_<NAME>FILE, spelled out
}

// NewSecretFlag declares one whose default is nothing. usage has the placeholder of the
// value in backquotes.
func NewSecretFlag(section, env, fileEnv, usage string, to *string) *SecretFlag {
	return &SecretFlag{FileEnv: fileEnv, StringFlag: cli.StringFlag{
		Category: section, Name: OptionName(env), EnvVars: []string{env}, Destination: to, Usage: usage,
	}}
}

// Login is a user's name and password.
type Login struct {
	Username, Password string

	username, password string // the options
}

// Flags declares the options by their variables.
func (l *Login) Flags(section, usernameEnv, passwordEnv, passwordFileEnv string) []cli.Flag {
	l.username, l.password = OptionName(usernameEnv), OptionName(passwordEnv)
	return []cli.Flag{
		&cli.StringFlag{
			Category: section, Name: l.username, EnvVars: []string{usernameEnv}, Destination: &l.Username,
			Usage: "`NAME` to log in with",
		},
		NewSecretFlag(section, passwordEnv, passwordFileEnv, "`PASSWORD` to log in with", &l.Password),
	}
}

// Check says what is missing: a password is somebody's.
func (l *Login) Check() error {
	if l.Password != "" && l.Username == "" {
		return missing(l.password, "needs the user's name", l.username)
	}
	return nil
}
