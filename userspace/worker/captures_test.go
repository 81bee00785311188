package worker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// captures are those of real servers that testdata/make.sh made, with tshark's lists, and
// the tunnel and VLAN in their records.
var captures = map[string]struct {
	tunnel string
	vlan   int // -1: none
}{
	"udp": {"", -1}, "tcp": {"", -1}, "fragments": {"", -1}, "fragments-ipv6": {"", -1}, "snaplen": {"", -1},
	"cooked1": {"", -1}, "cooked2": {"", -1}, "raw": {"", -1}, "raw-ipv4": {"", -1}, "raw-ipv6": {"", -1},
	"null": {"", -1}, "loop": {"", -1}, "ppp": {"", -1}, "fddi": {"", -1}, "snap": {"", -1},
	"vlan": {"", 7}, "qinq": {"", 100}, "mpls": {"", -1}, "pppoe": {"", -1},
	"vxlan": {"vxlan", -1}, "vxlan-gpe": {"vxlan-gpe", -1}, "geneve": {"geneve", -1}, "teredo": {"teredo", -1}, "gtp": {"gtp", -1},
	"gre": {"gre", -1}, "gre-key": {"gre", -1}, "gre-ppp": {"gre", -1}, "gretap": {"gre", -1},
	"erspan1": {"erspan", -1}, "erspan2": {"erspan", -1}, "erspan3": {"erspan", -1},
	"gre-udp": {"gre-udp", -1}, "mpls-udp": {"mpls-udp", -1}, "tzsp": {"tzsp", -1}, "tzsp-wlan": {"tzsp", -1}, "lisp": {"lisp", -1}, "etherip": {"etherip", -1},
	"l2tp": {"l2tp", -1}, "l2tp3-udp": {"l2tp", -1}, "l2tp3-ip": {"l2tp", -1}, "nsh": {"nsh", -1}, "nsh-gpe": {"nsh", -1},
	"pbb": {"pbb", 7}, "trill": {"trill", -1}, "fabricpath": {"fabricpath", -1},
	"vntag": {"", -1}, "etag": {"", -1}, "metadata": {"", -1}, "hsr": {"", -1}, "macsec": {"", -1},
	"nflog": {"", -1}, "pflog": {"", -1}, "enc": {"", -1}, "hdlc": {"", -1}, "erf": {"", -1}, "ppi": {"", -1}, "juniper": {"", -1}, "pktap": {"", -1},
	"wlan": {"", -1}, "radiotap": {"", -1}, "prism": {"", -1}, "avs": {"", -1},
	"ipip": {"ipip", -1}, "6in4": {"6in4", -1}, "4in6": {"4in6", -1}, "6in6": {"6in6", -1},
	"nested": {"vxlan", 7}, "fragments-around": {"vxlan", -1}, "fragments-within": {"gre", -1},
}

// TestOwnCaptures: in our own captures we find the messages that tshark finds, and the
// tunnel and VLAN of each. The captures are part of the repository.
func TestOwnCaptures(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.pcap")
	if len(files) != len(captures) {
		t.Errorf("%d captures, want %d", len(files), len(captures))
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".pcap")
		t.Run(name, func(t *testing.T) {
			want, known := captures[name]
			if !known {
				t.Fatal("the capture is not in the table of this test")
			}
			agrees(t, path, nil, func(e *event.Event) {
				vlan := -1
				if e.HasVLAN {
					vlan = int(e.VLAN & 0xfff)
				}
				if e.Tunnel.String() != want.tunnel || vlan != want.vlan {
					t.Errorf("message %d: tunnel %q and VLAN %d, want %q and %d", e.DNS.ID, e.Tunnel, vlan, want.tunnel, want.vlan)
				}
			})
		})
	}
}

// TestOwnCapturesShowEverything: there is a capture of each tunnel.
func TestOwnCapturesShowEverything(t *testing.T) {
	shown := map[string]bool{}
	for _, o := range captures {
		shown[o.tunnel] = true
	}
	for k := packet.TunnelVXLAN; k.String() != "unknown"; k++ {
		if !shown[k.String()] && k != packet.TunnelMPLS { // tshark has to be told the contents of pseudowires
			t.Errorf("no capture of %s", k)
		}
	}
	if _, err := os.Stat("testdata/make.sh"); err != nil {
		t.Errorf("the captures' script: %v", err)
	}
}
