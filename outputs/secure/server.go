package secure

import (
	"crypto/tls"
	"fmt"

	"github.com/urfave/cli/v2"
)

// ListenerFlags is Flags for an input that listens: its certificate is required, and the
// authorities are those that sign certificates of clients. The same files serve for
// connections that the input makes itself.
func (t *TLS) ListenerFlags(section, caEnv, certEnv, keyEnv string) []cli.Flag {
	t.ca, t.cert, t.key = OptionName(caEnv), OptionName(certEnv), OptionName(keyEnv)
	return []cli.Flag{
		&cli.StringFlag{
			Category: section, Name: t.ca, EnvVars: []string{caEnv}, Destination: &t.CAFile,
			Usage: "`FILE` with the CA certificates, in PEM, that sign the senders' certificates. Senders at tls addresses must then show one. Empty: none is required",
		},
		&cli.StringFlag{
			Category: section, Name: t.cert, EnvVars: []string{certEnv}, Destination: &t.CertFile,
			Usage: "`FILE` with the certificate, in PEM, that the sensor shows at tls addresses, and its chain",
		},
		&cli.StringFlag{
			Category: section, Name: t.key, EnvVars: []string{keyEnv}, Destination: &t.KeyFile,
			Usage: "`" + KeyPlaceholder + "` with the key of that certificate, in PEM; it may be the same file",
		},
	}
}

// ListenerConfig is Config for the end that listens. A certificate is required. With
// authorities, clients must show a certificate that one of them has signed.
func (t *TLS) ListenerConfig() (*tls.Config, error) {
	pair, err := t.pair()
	if err != nil {
		return nil, err
	}
	if pair == nil {
		return nil, fmt.Errorf("%s: a tls address needs a certificate to show: set %s and %s", t.cert, t.cert, t.key)
	}
	// Without tickets, each connection is judged by the files as they are now.
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*pair}, SessionTicketsDisabled: true}
	if t.CAFile != "" {
		pool, err := authorities(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.ca, err)
		}
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, pool
	}
	return c, nil
}

// Files are the files that Config and ListenerConfig read.
func (t *TLS) Files() (list []string) {
	for _, path := range []string{t.CAFile, t.CertFile, t.KeyFile} {
		if path != "" {
			list = append(list, path)
		}
	}
	return list
}
