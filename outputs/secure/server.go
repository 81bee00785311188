package secure

import (
	"crypto/tls"
	"fmt"
)

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
