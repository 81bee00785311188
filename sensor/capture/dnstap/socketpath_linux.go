package dnstap

// maxSocketPath is the kernel's limit for the path of a socket. It applies to senders, too.
const maxSocketPath = 107

const hasAbstract = true

func systemPath(path string) string { return path }
