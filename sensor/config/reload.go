package config

import "slices"

// Reloadable are the options that can change while the sensor runs.
var Reloadable = []string{"loglevel", "masksize4", "masksize6"}

// Diff compares the values before and after the file was read again: those that
// can change, and the names of those that need a new start.
func Diff(before, after *Values) (changed []*Value, fixed []string) {
	for i := range after.list {
		now := &after.list[i]
		if was := before.Get(now.Name); was == nil || slices.Equal(was.Text, now.Text) {
			continue
		}
		if slices.Contains(Reloadable, now.Name) {
			changed = append(changed, now)
		} else {
			fixed = append(fixed, now.Name)
		}
	}
	return changed, fixed
}
