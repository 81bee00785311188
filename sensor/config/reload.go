package config

import (
	"slices"
	"strings"
)

// Reloadable lists the options that can change while the sensor runs. The types of
// outputs that stay on can change, too.
var Reloadable = []string{
	"loglevel", "masksize4", "masksize6", "domainmatch",
	"skipdomainsfile", "skipdomainsrefreshinterval", "allowdomainsfile", "allowdomainsrefreshinterval",
}

func canReload(was, now *Value) bool {
	kind := strings.HasSuffix(now.Name, "outputtype") && !slices.Equal(was.Text, []string{"0"}) && !slices.Equal(now.Text, []string{"0"})
	return kind || slices.Contains(Reloadable, now.Name)
}

// Diff compares the values before and after a reload. It returns the changed values that
// take effect, and the names of those that need a restart.
func Diff(before, after *Values) (changed []*Value, fixed []string) {
	for i := range after.list {
		now := &after.list[i]
		was := before.Get(now.Name)
		if was == nil || slices.Equal(was.Text, now.Text) {
			continue
		}
		if canReload(was, now) {
			changed = append(changed, now)
		} else {
			fixed = append(fixed, now.Name)
		}
	}
	return changed, fixed
}
