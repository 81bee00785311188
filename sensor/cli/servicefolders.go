package cli

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"dnsmonster-sensor/outputs/safefs"
)

// serviceFolders are those that the unit has systemd make: systemd gives them to the
// service's user, which nobody else can be.
var serviceFolders = []string{"/var/log/dnsmonster-sensor", "/var/lib/dnsmonster-sensor", "/run/dnsmonster-sensor"}

// exceptServiceFolders leaves out the errors that only say that one of these folders is
// missing, or that it is another user's, and returns the folders concerned. That is so
// before the service has started, and for everybody but the service.
func exceptServiceFolders(list []error, folders []string) (errs []error, left []string) {
	for _, err := range list {
		folder := folderOf(err, folders)
		switch {
		case folder == "":
			errs = append(errs, err)
		case !slices.Contains(left, folder):
			left = append(left, folder)
		}
	}
	return errs, left
}

// folderOf is the folder that err concerns; "": none of them, or more is wrong than that
// it is missing or another user's.
func folderOf(err error, folders []string) string {
	missing := errors.Is(err, fs.ErrNotExist)
	if !missing && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, safefs.ErrOwner) {
		return ""
	}
	words := strings.Fields(err.Error())
	for i, word := range words {
		words[i] = strings.TrimSuffix(word, ":")
	}
	for _, folder := range folders {
		if !missing && slices.Contains(words, filepath.Join(filepath.Dir(folder), "private")) { // where systemd keeps them
			return folder
		}
		if slices.Contains(words, folder) || !missing && slices.ContainsFunc(words, func(word string) bool { return strings.HasPrefix(word, folder+"/") }) {
			return folder
		}
	}
	return ""
}
