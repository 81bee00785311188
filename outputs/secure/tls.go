package secure

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/oserror"
)

// KeyPlaceholder is the placeholder of options that name the file of a private key.
const KeyPlaceholder = "KEYFILE"

// TLS says which authorities a connection trusts and which certificate it presents.
// The zero value trusts the system's authorities and presents none.
type TLS struct {
	CAFile   string // authorities that sign server certificates; "": those of the system
	CertFile string // our certificate and its chain; "": none
	KeyFile  string // the key of our certificate

	ca, cert, key string // option names
}

// Flags declares the options of these environment variables.
func (t *TLS) Flags(section, caEnv, certEnv, keyEnv string) []cli.Flag {
	t.ca, t.cert, t.key = OptionName(caEnv), OptionName(certEnv), OptionName(keyEnv)
	return []cli.Flag{
		&cli.StringFlag{
			Category: section, Name: t.ca, EnvVars: []string{caEnv}, Destination: &t.CAFile,
			Usage: "`FILE` with the CA certificates, in PEM, that sign the server's certificate. Empty: those of this system",
		},
		&cli.StringFlag{
			Category: section, Name: t.cert, EnvVars: []string{certEnv}, Destination: &t.CertFile,
			Usage: "`FILE` with the certificate, in PEM, that the sensor presents to the server, and its chain",
		},
		&cli.StringFlag{
			Category: section, Name: t.key, EnvVars: []string{keyEnv}, Destination: &t.KeyFile,
			Usage: "`" + KeyPlaceholder + "` with the key of that certificate, in PEM; it may be the same file",
		},
	}
}

// HasOptions reports whether Flags has declared options: messages can name them.
func (t *TLS) HasOptions() bool { return t.ca != "" }

// Config reads the files at each call, so that a renewed certificate is used from the
// next call on. Its error begins with the option that is wrong. server is the name
// that the server's certificate must have; if it is empty, the connection has to set it.
// With skipVerify no certificate is checked.
func (t *TLS) Config(server string, skipVerify bool) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: server, InsecureSkipVerify: skipVerify}
	if t.CAFile != "" {
		pool, err := authorities(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.ca, err)
		}
		c.RootCAs = pool
	}
	pair, err := t.pair()
	if pair != nil {
		c.Certificates = []tls.Certificate{*pair}
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// pair returns our certificate with its key. It returns nil and no error if none is
// configured.
func (t *TLS) pair() (*tls.Certificate, error) {
	switch {
	case t.CertFile == "" && t.KeyFile == "":
		return nil, nil
	case t.KeyFile == "":
		return nil, missing(t.cert, "needs the file with its key", t.key)
	case t.CertFile == "":
		return nil, missing(t.key, "needs the file with its certificate", t.cert)
	}
	cert, err := readFile(t.CertFile)
	if err == nil {
		_, err = certificates(t.CertFile, cert)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.cert, err)
	}
	key, err := readFile(t.KeyFile)
	if err == nil {
		err = checkKey(t.KeyFile, key)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.key, err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %s does not match %s: %s", t.key, t.KeyFile, t.CertFile, strings.TrimPrefix(err.Error(), "tls: "))
	}
	return &pair, nil
}

// missing returns an error about an option that needs another one.
func missing(option, what, other string) error {
	return fmt.Errorf("%s: %s, too: set %s", option, what, other)
}

// maxFileSize bounds what is read of a file: five times the size of a system's own list of
// authorities.
const maxFileSize = 1 << 20

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err == nil && len(content) > maxFileSize {
		return nil, fmt.Errorf("%s: more than %d MiB: this is not a file of certificates or keys", path, maxFileSize>>20)
	}
	return content, err
}

func authorities(path string) (*x509.CertPool, error) {
	content, err := readFile(path)
	if err != nil {
		return nil, err
	}
	list, err := certificates(path, content)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range list {
		pool.AddCert(c)
	}
	return pool, nil
}

// certificates parses all certificates of a file. It fails if there is none, or if one is
// broken.
func certificates(path string, content []byte) (list []*x509.Certificate, err error) {
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d: %s", path, len(list)+1, strings.TrimPrefix(err.Error(), "x509: "))
		}
		list = append(list, c)
	}
	if list == nil {
		return nil, fmt.Errorf("%s: no certificate in it: a file in PEM has lines such as -----BEGIN CERTIFICATE-----; openssl x509 -inform DER -in FILE makes one of a file in DER", path)
	}
	return list, nil
}

// checkKey finds mistakes that the errors of crypto/tls do not explain.
func checkKey(path string, content []byte) error {
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			return fmt.Errorf("%s: the key is encrypted, and the sensor cannot ask for its password: openssl pkey -in %s -out FILE writes it without one", path, path)
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return nil
		}
	}
	return fmt.Errorf("%s: no key in it: a file in PEM has lines such as -----BEGIN PRIVATE KEY-----", path)
}

// OptionNames are the names of what users set for a connection, as Advice uses them.
// They fit after "with" or "in".
type OptionNames struct {
	CA     string // such as "--splunkcafile", or "sslrootcert=FILE in --psqlendpoint"
	Cert   string // of our certificate and its key
	Server string // of the server's address
}

// OptionNames returns the names of t's options; server is the option with the address.
func (t *TLS) OptionNames(server string) OptionNames {
	return OptionNames{CA: "--" + t.ca, Cert: "--" + t.cert + " and --" + t.key, Server: "--" + server}
}

// Advice says how to repair what made a handshake fail. It is "" if something else failed.
// Somebody has to repair it: trying again is useless.
func Advice(err error, names OptionNames) string {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	text := err.Error()
	switch {
	case strings.Contains(text, "tls:") && strings.Contains(text, "protocol version"):
		return "let the server speak TLS 1.2 or later"
	case strings.Contains(text, "remote error: tls: unrecognized name"):
		return "use the name in " + names.Server + " that the server knows itself by"
	case strings.Contains(text, "remote error: tls: internal error"): // only the server knows more
	case strings.Contains(text, "remote error: tls:"):
		return "the server does not accept our certificate, or requires one: set it with " + names.Cert
	case errors.As(err, &unknown):
		return "set the CA certificate that signs the server's certificate with " + names.CA
	case errors.As(err, &host):
		return "use the name in " + names.Server + " that the server's certificate has, or give the server a certificate with this name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "renew the server's certificate, or set the clock of this machine"
	case errors.As(err, &invalid):
		return "replace the server's certificate"
	}
	return ""
}

// MaybeCertificateRejected reports whether the server may have closed a connection because of
// our certificate. In TLS 1.3 it checks the certificate after the handshake is complete on
// our side; data that we have written by then can make the kernel discard its alert.
func MaybeCertificateRejected(err error) bool {
	return oserror.IsReaderGone(err)
}
