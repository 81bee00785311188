package dnstap

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"dnsmonster-sensor/outputs/secure"
)

// certificates are the files for tls addresses, as they were read last.
type certificates struct {
	options Options

	mu      sync.Mutex
	current *tls.Config
	looked  time.Time
	stamp   string // of the files
}

// lookEvery is the least time between two looks at the files.
const lookEvery = time.Second

// check reads the files, if there is a tls address.
func (k *certificates) check(list []Address) error {
	for _, a := range list {
		if a.Network == "tls" {
			_, err := k.config(a)
			return err
		}
	}
	return nil
}

// config is for one connection. It reads files that have changed. If they are broken, the
// old ones stay in use.
func (k *certificates) config(at Address) (*tls.Config, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := time.Now(); k.current == nil || now.Sub(k.looked) >= lookEvery {
		k.looked = now
		if stamp := k.stampNow(); k.current == nil || stamp != k.stamp {
			err := k.read(stamp)
			switch {
			case err != nil && k.current == nil:
				return nil, err
			case err != nil:
				k.options.Log.Warn("the new certificates cannot be used; the ones that were read before stay in use", "error", err)
			}
		}
	}
	if !k.options.Dial {
		return k.current, nil
	}
	c := k.current.Clone()
	c.ServerName, _, _ = net.SplitHostPort(at.Where)
	return c, nil
}

func (k *certificates) read(stamp string) (err error) {
	files := k.options.TLS
	if files == nil {
		files = new(secure.TLS)
	}
	var c *tls.Config
	if k.options.Dial {
		c, err = files.Config("", k.options.SkipVerify)
	} else {
		c, err = files.ListenerConfig()
	}
	if k.stamp = stamp; err != nil {
		return err
	}
	if k.options.SkipVerify && c.ClientAuth == tls.RequireAndVerifyClientCert {
		c.ClientAuth = tls.RequireAnyClientCert
	}
	if k.current != nil {
		k.options.Log.Info("the certificates were read again")
	}
	k.current = c
	return nil
}

// reload reads the files, changed or not.
func (k *certificates) reload() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current == nil {
		return nil // there is no tls address
	}
	if err := k.read(k.stampNow()); err != nil {
		return fmt.Errorf("the new certificates cannot be used, the ones that were read before stay in use: %w", err)
	}
	return nil
}

// stampNow differs if a file has changed.
func (k *certificates) stampNow() (text string) {
	if k.options.TLS == nil {
		return ""
	}
	for _, path := range k.options.TLS.Files() {
		st, err := os.Stat(path)
		if err != nil {
			var known *os.PathError
			if errors.As(err, &known) {
				err = known.Err
			}
			text += err.Error() + "\n"
			continue
		}
		text += fmt.Sprintf("%d %d\n", st.Size(), st.ModTime().UnixNano())
	}
	return text
}
