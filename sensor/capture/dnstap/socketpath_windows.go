package dnstap

import "path/filepath"

// maxSocketPath is the system's limit for the path of a socket. It applies to senders, too.
const maxSocketPath = 107

const hasAbstract = false

// systemPath takes the slash away that stands before the drive in unix:///C:/dns/sock.
func systemPath(path string) string {
	if path[0] == '/' && filepath.IsAbs(path[1:]) {
		return path[1:]
	}
	return path
}
