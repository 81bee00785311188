package safefs

import "errors"

// ErrLocked means that another process, or another descriptor of this one, holds a lock.
var ErrLocked = errors.New("locked by another process")
