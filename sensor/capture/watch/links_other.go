//go:build !linux

package watch

import "errors"

// socket is unused: there is no subscription.
type socket struct{}

// Close does nothing.
func (*socket) Close() {}

var errOverflow = errors.New("messages were lost")

// subscribe does nothing: the interfaces are listed once a second.
func (l *links) subscribe() error { return nil }

// receive returns at once, and follow lists the interfaces.
func (l *links) receive() error { return nil }

// exists asks the system: the list lags behind. If that cannot tell, it exists.
func exists(index int) bool {
	all, err := listInterfaces()
	if err != nil {
		return true
	}
	_, ok := all[index]
	return ok
}
