//go:build unix && !linux

package dnstap

// maxSocketPath is the kernel's limit for the path of a socket. It applies to senders, too.
const maxSocketPath = 103

const hasAbstract = false

func systemPath(path string) string { return path }
