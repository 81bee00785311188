//go:build !linux

package dnstap

// passedSockets returns nothing: only systemd passes sockets.
func passedSockets() ([]*passedSocket, error) { return nil, nil }
