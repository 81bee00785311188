package dnstap

import (
	"io/fs"
	"log/slog"

	"dnsmonster-sensor/outputs/secure"
)

// Options say where frames come from.
type Options struct {
	Addresses []string // see ParseAddress; at least one
	// Dial connects to senders that listen at the addresses, instead of listening. It
	// waits for them, and connects again, for ever.
	Dial  bool
	Lanes int // 0: one
	// Mode is the mode of unix sockets, whatever the umask is; 0: 0755. To connect to a
	// socket, a sender needs the right to write to it.
	Mode  fs.FileMode
	Group string // of unix sockets, a name or a number; "": that of the process
	// TLS has the files for tls addresses: the sensor's certificate, which a listener must
	// have, and the authorities that sign the senders' certificates. A listener with
	// authorities requires a certificate of each sender. Changed files are read again.
	TLS *secure.TLS
	// SkipVerify accepts any certificate. A listener with authorities still requires one.
	SkipVerify bool
	// MaxConnections bounds the connections of all addresses together; 0:
	// DefaultConnections. Connections beyond it are refused.
	MaxConnections int
	Log            *slog.Logger
	Stop           <-chan struct{} // ends Open while it waits; nil: nothing does
}

// DefaultConnections is the usual bound of connections.
const DefaultConnections = 4096

// defaultMode is what dnsmonster sets.
const defaultMode = 0o755
