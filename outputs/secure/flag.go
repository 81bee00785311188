// Package secure declares the options that secure connections: certificates, keys,
// user names and passwords, and turns them into a tls.Config or a login. Options are
// named <output>cafile, <output>certfile, <output>keyfile, <output>username,
// <output>password and <output>passwordfile, unless dnsmonster's manual has another
// name. It imports nothing of this project. Its tests make their own certificates and
// handshakes.
package secure

import (
	"strings"

	"github.com/urfave/cli/v2"
)

// OptionName returns the option of an environment variable: DNSMONSTER_X is --x.
// Declarations spell out the variable so that a search of the sources finds its
// option.
func OptionName(env string) string {
	return strings.ToLower(strings.TrimPrefix(env, "DNSMONSTER_"))
}

// SecretFlag declares an option for a password or token. Its value is never shown.
// Users can keep it out of process lists in three ways: in a file named by the option
// <name>file or by that option's environment variable, or as a systemd credential with
// the option's name.
type SecretFlag struct {
	cli.StringFlag
	FileEnv string // of <name>file: DNSMONSTER_<NAME>FILE, spelled out
}

// NewSecretFlag returns a secret option that is empty by default. usage marks the
// placeholder of the value with backquotes.
func NewSecretFlag(section, env, fileEnv, usage string, to *string) *SecretFlag {
	return &SecretFlag{FileEnv: fileEnv, StringFlag: cli.StringFlag{
		Category: section, Name: OptionName(env), EnvVars: []string{env}, Destination: to, Usage: usage,
	}}
}

// Login is a user's name and password.
type Login struct {
	Username, Password string

	username, password string // option names
}

// Flags declares the options of these environment variables.
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

// Check refuses a password without a user name.
func (l *Login) Check() error {
	if l.Password != "" && l.Username == "" {
		return missing(l.password, "needs the user's name", l.username)
	}
	return nil
}
