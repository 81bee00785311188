package file

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// schedule says when files are turned over.
type schedule struct{ cron cron.Schedule }

func parseSchedule(text string) (schedule, error) {
	c, err := parseCron(text)
	if err != nil {
		return schedule{}, fmt.Errorf("%q: use five fields, minute hour day month weekday, such as \"0 0 * * *\", or @hourly, @daily, @every 10m: %w", text, err)
	}
	if c.Next(time.Now()).IsZero() {
		return schedule{}, fmt.Errorf("%q: there is no such day", text)
	}
	return schedule{c}, nil
}

// parseCron guards against texts that the library panics at.
func parseCron(text string) (cron.Schedule, error) {
	text = strings.TrimSpace(text)
	if zone := strings.HasPrefix(text, "TZ=") || strings.HasPrefix(text, "CRON_TZ="); zone && !strings.Contains(text, " ") {
		return nil, errors.New("a time zone and nothing behind it")
	}
	return cron.ParseStandard(text)
}

// anyHour is set in the hours of a schedule that says * for them.
const anyHour = 1 << 63

// after returns the first time behind t. Where clocks change it does as cron(8):
// what falls into the hour that is left out comes once, later, and what falls
// into the hour that is there twice comes once, unless it comes every hour.
func (s schedule) after(t time.Time) time.Time {
	next := s.cron.Next(t)
	fields, ok := s.cron.(*cron.SpecSchedule)
	if !ok || fields.Hour&anyHour != 0 {
		return next
	}
	zone := fields.Location
	if zone == time.Local {
		zone = t.Location()
	}
	steady := *fields // as it is on a clock that never changes
	steady.Location = time.UTC
	wall := steady.Next(onWall(t.In(zone), time.UTC))
	for !onWall(wall, zone).After(t) {
		wall = steady.Next(wall)
	}
	return onWall(wall, zone)
}

// onWall is a time at which the clocks of a zone show what t's do. Where they
// never do, it is later by what they leave out.
func onWall(t time.Time, zone *time.Location) time.Time {
	there := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, zone)
	if there.Hour() == t.Hour() && there.Minute() == t.Minute() {
		return there
	}
	_, before := there.Add(-24 * time.Hour).Zone()
	return t.Add(-time.Duration(before) * time.Second).In(zone)
}
