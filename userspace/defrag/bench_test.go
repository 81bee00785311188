package defrag

import (
	"strings"
	"testing"

	"dnsmonster-sensor/userspace/account"
)

func BenchmarkAdd(b *testing.B) {
	f := func(name string, frags []Fragment, whole int) {
		b.Run(name, func(b *testing.B) {
			table := New(Config{}, account.NewPacketCounters().Shard(), func(_ *Datagram, why account.Column) account.Column { return why })
			complete := 0
			b.ReportAllocs()
			for id := uint32(0); b.Loop(); id++ {
				for i := range frags {
					frags[i].ID = id
					if d, _ := table.Add(&frags[i]); d != nil {
						complete++
					}
				}
			}
			if complete > 0 != (whole > 0) {
				b.Fatalf("%d complete datagrams", complete)
			}
		})
	}
	big := strings.Repeat("x", 1480)
	f("in order", []Fragment{v4(0, true, big), v4(1480, true, big), v4(2960, false, "end")}, 1)
	f("last first", []Fragment{v6(2960, false, "end"), v6(1480, true, big), v6(0, true, big)}, 1)
	f("never complete", []Fragment{v4(0, true, "12345678")}, 0)
}
