//go:build !linux

package watch

// promiscuous is left to the back end: on these systems it belongs to the capture.
type promiscuous struct{}

func beginPromiscuous(int) (*promiscuous, error) { return &promiscuous{}, nil }

func (*promiscuous) end() {}
