package packet

import "testing"

func TestTunnelNames(t *testing.T) {
	for k := TunnelVXLAN; k < tunnels; k++ {
		if got, ok := ParseTunnel(k.String()); !ok || got != k || k.String() == "" {
			t.Errorf("ParseTunnel(%q) = %d, %v, want %d", k.String(), got, ok, k)
		}
	}
	if _, ok := ParseTunnel(""); ok {
		t.Error("the empty word is taken for a tunnel")
	}
}
