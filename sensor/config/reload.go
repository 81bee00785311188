package config

import (
	"slices"
	"strings"
)

// Reloadable are the options that can change while the sensor runs; the types of
// outputs that stay on can, too.
var Reloadable = []string{
	"loglevel", "masksize4", "masksize6", "domainmatch",
	"skipdomainsfile", "skipdomainsrefreshinterval", "allowdomainsfile", "allowdomainsrefreshinterval",
}

func reloads(was, now *Value) bool {
	kind := strings.HasSuffix(now.Name, "outputtype") && !slices.Equal(was.Text, []string{"0"}) && !slices.Equal(now.Text, []string{"0"})
	return kind || slices.Contains(Reloadable, now.Name)
}

// Diff compares the values before and after the file was read again: those that
// can change, and the names of those that need a new start.
func Diff(before, after *Values) (changed []*Value, fixed []string) {
	for i := range after.list {
		now := &after.list[i]
		was := before.Get(now.Name)
		if was == nil || slices.Equal(was.Text, now.Text) {
			continue
		}
		if reloads(was, now) {
			changed = append(changed, now)
		} else {
			fixed = append(fixed, now.Name)
		}
	}
	return changed, fixed
}
