package config

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/endpoint"
	"dnsmonster-sensor/outputs/secure"
)

// secretFileSuffix ends the name of an option that names the file with a secret.
const secretFileSuffix = "file"

// masked replaces secrets in everything that is shown.
const masked = endpoint.Mask

// WithSecretFiles adds, for each secret, an option that names a file with it.
func WithSecretFiles(flags []cli.Flag) []cli.Flag {
	var all []cli.Flag
	for _, f := range flags {
		all = append(all, f)
		if s, ok := f.(*outputs.SecretFlag); ok {
			usage := "`FILE` that contains " + s.Name + "; a newline at its end is ignored"
			if strings.HasPrefix(s.Usage, lacking) {
				usage = lacking + usage
			}
			all = append(all, &cli.StringFlag{Category: s.Category, Name: s.Name + secretFileSuffix, EnvVars: []string{s.FileEnv}, Usage: usage})
		}
	}
	return all
}

// markSecretFiles clears SecretOf unless it is the name of a secret: other options end in
// "file", too.
func markSecretFiles(list []Option) {
	for i := range list {
		o := &list[i]
		if o.SecretOf == "" {
			continue
		}
		if s := find(list, o.SecretOf); s == nil || !s.Secret {
			o.SecretOf = ""
		}
	}
}

// applySecrets reads the files with secrets, and systemd's credentials for secrets that
// nothing else sets.
func (r *resolver) applySecrets() {
	for i := range r.v.list {
		if v := &r.v.list[i]; v.SecretOf != "" && len(v.Text) == 1 && v.Text[0] != "" {
			r.readSecretFile(v, r.v.Get(v.SecretOf))
		}
	}
	r.credentials()
	r.warnOfExposed()
}

func (r *resolver) credentials() {
	dir, ok := lookup(r.Environ, "CREDENTIALS_DIRECTORY")
	if !ok {
		return
	}
	for i := range r.v.list {
		v := &r.v.list[i]
		if !v.Secret || v.Origin.Layer != Default {
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, v.Name))
		switch {
		case err == nil:
			v.Text, v.Origin = []string{trimLineEnd(content)}, Origin{Credential, v.Name}
		case !os.IsNotExist(err):
			r.fail("%s: read systemd credential: %w", v.Name, err)
			r.v.failed = append(r.v.failed, v.Name)
		}
	}
}

// warnOfExposed warns about secrets that all users of the machine can read.
func (r *resolver) warnOfExposed() {
	var inFile []string
	for i := range r.v.list {
		v := &r.v.list[i]
		switch {
		case v.Placeholder == secure.KeyPlaceholder:
			if readableByAll(v.String()) {
				r.warn("%s: everybody on this machine can read %s: chmod o-r", v.Name, v.String())
			}
		case !slices.ContainsFunc(v.Text, func(t string) bool { return v.Shown(t) != t && !isWithoutPassword(t) }):
		case v.fromFile != "":
			if path := r.v.String(v.fromFile); readableByAll(path) {
				r.warn("%s: everybody on this machine can read %s: chmod o-r", v.fromFile, path)
			}
		case v.Origin.Layer == CommandLine && !v.Secret:
			r.warn("%s: everybody on this machine can read the command line: use the environment or a configuration file", v.Name)
		case v.Origin.Layer == CommandLine:
			r.warn("%s: everybody on this machine can read the command line: use --%s%s, the environment or a file", v.Name, v.Name, secretFileSuffix)
		case v.Origin.Layer == InFile:
			inFile = append(inFile, v.Name)
		}
	}
	if inFile != nil && readableByAll(r.File.Path) {
		r.warn("everybody on this machine can read %s, which holds %s: chmod o-r", r.File.Path, strings.Join(inFile, ", "))
	}
}

// passwordless matches the URI of a database that has a user at most.
var passwordless = regexp.MustCompile(`^postgres(?:ql)?://(?:[^:@/?]*@)?[^@?]*(?:\?|$)`)

// isWithoutPassword reports whether a text says where a database is, and perhaps who logs
// in, but not how. It is masked all the same: a user may have put a password elsewhere.
func isWithoutPassword(text string) bool {
	return passwordless.MatchString(text) && !strings.Contains(strings.ToLower(text), "password")
}

func readableByAll(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o004 != 0
}

// isSensitive reports whether the value is or contains a secret.
func (v *Value) isSensitive() bool {
	return slices.ContainsFunc(v.Text, func(t string) bool { return v.Shown(t) != t })
}

// Mask masks secrets in a text from other packages, which often quote input that they
// cannot parse.
func (v *Values) Mask(text string) string {
	for i := range v.list {
		if o := &v.list[i]; o.Secret && o.isSensitive() && len(o.Text[0]) > 3 { // shorter secrets would match parts of words
			text = strings.ReplaceAll(text, o.Text[0], masked)
		}
	}
	return endpoint.MaskURLs(text)
}

// MaskError masks secrets in an error.
func (v *Values) MaskError(err error) error {
	text := v.Mask(err.Error())
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

// readSecretFile reads a secret from its file, unless a higher layer sets the secret
// itself.
func (r *resolver) readSecretFile(file, secret *Value) {
	switch {
	case secret.Origin.Layer > file.Origin.Layer:
		return
	case secret.Origin.Layer == file.Origin.Layer:
		r.fail("%s: set both by itself (%s) and by %s (%s): keep one", secret.Name, secret.Origin, file.Name, file.Origin)
		return
	}
	content, err := os.ReadFile(file.Text[0])
	if err != nil {
		r.fail("%s: %w (from %s)", file.Name, err, file.Origin)
		r.v.failed = append(r.v.failed, secret.Name)
		return
	}
	secret.Text, secret.Origin = []string{trimLineEnd(content)}, file.Origin
	if file.Origin.Layer != Default {
		secret.fromFile = file.Name
	}
}

func trimLineEnd(content []byte) string {
	return strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
}

// Shown returns a value for display: secrets are masked, and so are user and password in
// URLs.
func (v *Value) Shown(text string) string {
	if v.Secret {
		if text == "" || len(v.Default) == 1 && text == v.Default[0] {
			return text
		}
		return masked
	}
	return endpoint.MaskURL(text)
}
