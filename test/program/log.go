package program

import (
	"bytes"
	"sync"
)

// Log is a text that can be read while it is written.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *Log) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *Log) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}
