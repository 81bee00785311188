package pipeline

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"dnsmonster-sensor/sensor/capture/file"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/decode"
	"dnsmonster-sensor/userspace/packet"
)

// TestShrinksAtEachStep makes a mapped file shorter while its packets are read: between
// two headers, while a packet's lane is chosen, and after a batch was read, so that
// handling it faults. Nothing of other files is lost, and the ledgers balance.
func TestShrinksAtEachStep(t *testing.T) {
	t.Parallel()
	const batch = 256
	decoder := decode.NewDecoder(packet.UsualTunnelPorts(), func(port uint16) bool { return port == 53 })
	f := func(step string, at int, touch bool) {
		for _, workers := range []int{2, 3, 8} {
			t.Run(fmt.Sprint(step, ", ", workers, " workers"), func(t *testing.T) {
				path := packets.TempFile(t, packets.Queries(50_000))
				var chosen atomic.Int64
				source, err := file.Open(file.Options{
					Paths: []string{path, packets.TempFile(t, packets.Queries(1000))}, Lanes: workers, Choose: decoder.Lane,
					Unpinned: func(p *packet.Packet) bool {
						n := int(chosen.Add(1))
						if n == at {
							if err := os.Truncate(path, 0); err != nil {
								t.Error(err)
							}
						}
						if n >= at && !touch {
							return true
						}
						return decoder.Unpinned(p) && n%2 == 0 // half of them pinned, as if torn
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				p := toNowhere(t, source)
				ledgers := goes(t, p)
				gone, events := p.ledgers.packets.Sum(account.FileShrank), p.ledgers.events()
				if err := source.Err(); err == nil || !strings.Contains(err.Error(), "became shorter") || gone == 0 || events < 1000 {
					t.Errorf("%d packets given, %d of them gone, %d events; error %v", source.Given(), gone, events, err)
				}
				if n := account.Unaccounted(ledgers); n != 0 || int(source.Given()) != at+1000 {
					t.Errorf("%d packets given, want %d; %d unaccounted for: %+v", source.Given(), at+1000, n, ledgers)
				}
			})
		}
	}
	f("between headers", 20*batch+100, false)
	f("while choosing", 20*batch+100, true)
	f("while handling", 20*batch, false)
}
