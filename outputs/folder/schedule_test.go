package folder

import (
	"slices"
	"testing"
	"time"
)

func location(t testing.TB, name string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Rotation in local time: a time in the skipped hour comes once, and so does a time in
// the repeated hour.
func TestSchedule(t *testing.T) {
	f := func(cron, place, from string, want ...string) {
		t.Helper()
		s, err := parseSchedule(cron)
		if err != nil {
			t.Fatal(err)
		}
		l := location(t, place)
		// The schedule uses the zone of the process; times carry their own.
		at, err := time.ParseInLocation(time.RFC3339, from, l)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for range want {
			at = s.after(at.In(l))
			got = append(got, at.In(l).Format("01-02 15:04 -07"))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q in %s from %s:\n%q, want\n%q", cron, place, from, got, want)
		}
	}
	const berlin, york = "Europe/Berlin", "America/New_York"
	f("0 0 * * *", berlin, "2026-03-28T12:00:00+01:00", "03-29 00:00 +01", "03-30 00:00 +02", "03-31 00:00 +02")
	f("30 2 * * *", berlin, "2026-03-28T12:00:00+01:00", "03-29 03:30 +02", "03-30 02:30 +02")
	f("30 2 * * *", berlin, "2026-10-24T12:00:00+02:00", "10-25 02:30 +01", "10-26 02:30 +01")
	f("30 2 * * *", york, "2026-03-07T12:00:00-05:00", "03-08 03:30 -04", "03-09 02:30 -04")
	f("30 1 * * *", york, "2026-10-31T12:00:00-04:00", "11-01 01:30 -04", "11-02 01:30 -05")
	f("30 1 * * *", york, "2026-11-01T01:10:00-05:00", "11-02 01:30 -05") // the second time that it is 1:10
	f("0 * * * *", berlin, "2026-10-25T01:30:00+02:00", "10-25 02:00 +02", "10-25 02:00 +01", "10-25 03:00 +01")
	f("0 * * * *", berlin, "2026-03-29T00:30:00+01:00", "03-29 01:00 +01", "03-29 03:00 +02", "03-29 04:00 +02")
	f("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00+02:00", "04-24 01:00 +03", "04-25 00:00 +03") // no midnight that day
	f("@every 90m", berlin, "2026-03-29T01:00:00+01:00", "03-29 03:30 +02", "03-29 05:00 +02")
	f("CRON_TZ=Asia/Tokyo 0 0 * * *", berlin, "2026-03-28T12:00:00+01:00", "03-28 16:00 +01", "03-29 17:00 +02")
	f("15 3 1 * *", berlin, "2026-01-31T00:00:00+01:00", "02-01 03:15 +01", "03-01 03:15 +01", "04-01 03:15 +02")
}

// FuzzSchedule: any text is an error, or a schedule whose times increase.
func FuzzSchedule(f *testing.F) {
	for _, seed := range []string{"0 0 * * *", "*/5 1-3,7 1 jan mon#", "@every 10m", "@daily", "TZ=UTC", "CRON_TZ=Asia/Tokyo 0 0 * * *", "0 0 30 2 *", "@every -1s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSchedule(text)
		if err != nil {
			return
		}
		at := time.Date(2026, 3, 28, 12, 0, 0, 0, location(t, "Europe/Berlin"))
		for range 3 {
			next := s.after(at)
			if !next.After(at) {
				t.Fatalf("%q: %s after %s", text, next, at)
			}
			at = next
		}
	})
}
