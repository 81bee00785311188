package null

import (
	"testing"

	"dnsmonster-sensor/outputs"
)

func TestSettings(t *testing.T) {
	f := func(kind int, want outputs.Type, ok bool) {
		t.Helper()
		o := &Output{kind: kind}
		if s, err := o.Settings(); (err == nil) != ok || ok && s.Type != want {
			t.Errorf("type %d: %v, %v", kind, s.Type, err)
		}
	}
	f(0, outputs.Off, true)
	f(1, outputs.All, true)
	f(4, outputs.SkipAndAllow, true)
	f(5, outputs.Off, false)
	f(-1, outputs.Off, false)
}
