package null

import (
	"testing"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/test/outputtest"
)

func TestSettings(t *testing.T) {
	f := func(problem string, want outputs.Settings, args ...string) {
		t.Helper()
		o := New()
		outputtest.Options(t, o, args...)
		s, err := o.Settings()
		if problem != "" {
			if err == nil || err.Error() != problem {
				t.Errorf("%q: error %v, want %s", args, err, problem)
			}
		} else if want.Workers, want.BatchSizeOption = 1, "nulloutputbatchsize"; err != nil || s != want {
			t.Errorf("%q: %+v, %v, want %+v", args, s, err, want)
		}
	}
	f("", outputs.Settings{})
	f("", outputs.Settings{Type: outputs.All}, "--nulloutputtype=1")
	f("", outputs.Settings{Type: outputs.SkipAndAllow, BatchSize: 9, BatchBytes: outputs.NoByteLimit}, "--nulloutputtype=4", "--nulloutputbatchsize=9")
	f("", outputs.Settings{Type: outputs.All, BatchDelay: time.Minute, BatchBytes: outputs.NoByteLimit}, "--nulloutputtype=1", "--nulloutputbatchsize=9", "--nulloutputbatchdelay=1m")
	f("nulloutputtype: 5 is not one of 0 to 4", outputs.Settings{}, "--nulloutputtype=5")
	f("nulloutputtype: -1 is not one of 0 to 4", outputs.Settings{}, "--nulloutputtype=-1")
	f("nulloutputbatchsize: must be at least 0, not -1", outputs.Settings{}, "--nulloutputbatchsize=-1")
	f("nulloutputbatchdelay: must be 0 or more, not -1s", outputs.Settings{}, "--nulloutputbatchdelay=-1s")
}
