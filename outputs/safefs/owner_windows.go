package safefs

import (
	"errors"
	"sync"

	"golang.org/x/sys/windows"
)

// trustedInstaller owns the system's own folders.
const trustedInstaller = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"

// everyone owns the files of file systems that keep no owners, such as FAT. Nobody can
// give a file to it.
const everyone = "S-1-1-0"

const (
	system         = "S-1-5-18"
	administrators = "S-1-5-32-544"
)

// self is the user of this process.
var self = sync.OnceValues(func() (string, error) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return "", err
	}
	return user.User.Sid.String(), nil
})

// ownerOf returns who owns an open file or folder, and whether that is the system, an
// administrator or this user.
func ownerOf(h windows.Handle) (owner string, ours bool, err error) {
	sd, err := windows.GetSecurityInfo(h, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if errors.Is(err, windows.ERROR_NOT_SUPPORTED) || errors.Is(err, windows.ERROR_INVALID_FUNCTION) {
		return "", true, nil
	}
	if err != nil {
		return "", false, err
	}
	sid, _, err := sd.Owner()
	if err != nil {
		return "", false, err
	}
	me, err := self()
	if err != nil {
		return "", false, err
	}
	owner = sid.String()
	switch owner {
	case me, system, administrators, trustedInstaller, everyone:
		return owner, true, nil
	}
	return owner, false, nil
}
