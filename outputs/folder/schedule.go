package folder

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// schedule says when files are rotated.
type schedule struct{ cron cron.Schedule }

func parseSchedule(text string) (schedule, error) {
	c, err := parseCron(text)
	if err != nil {
		return schedule{}, fmt.Errorf("%q: use five fields, minute hour day month weekday, such as \"0 0 * * *\", or @hourly, @daily, @every 10m: %w", text, err)
	}
	if c.Next(time.Now()).IsZero() {
		return schedule{}, fmt.Errorf("%q: no such day exists", text)
	}
	return schedule{c}, nil
}

// parseCron guards against texts at which the library panics.
func parseCron(text string) (cron.Schedule, error) {
	text = strings.TrimSpace(text)
	if zone := strings.HasPrefix(text, "TZ=") || strings.HasPrefix(text, "CRON_TZ="); zone && !strings.Contains(text, " ") {
		return nil, errors.New("a time zone without a schedule")
	}
	return cron.ParseStandard(text)
}

// anyHour is the bit that the library sets in Hour for * in a schedule.
const anyHour = 1 << 63

// after returns the first time after t. Where clocks change it follows cron(8): a time
// in the skipped hour comes once, later; a time in the repeated hour comes once,
// unless it comes every hour.
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
	steady := *fields // as if the clock were never changed
	steady.Location = time.UTC
	wall := steady.Next(sameWallClock(t.In(zone), time.UTC))
	for !sameWallClock(wall, zone).After(t) {
		wall = steady.Next(wall)
	}
	return sameWallClock(wall, zone)
}

// sameWallClock returns the time at which clocks of a zone show what t's clock shows. If they
// skip that, the time is later by as much as they skip.
func sameWallClock(t time.Time, zone *time.Location) time.Time {
	there := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, zone)
	if there.Hour() == t.Hour() && there.Minute() == t.Minute() {
		return there
	}
	_, before := there.Add(-24 * time.Hour).Zone()
	return t.Add(-time.Duration(before) * time.Second).In(zone)
}
