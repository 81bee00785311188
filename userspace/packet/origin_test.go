package packet

import "testing"

func TestScope(t *testing.T) {
	a := Origin{HasVLAN: true, VLAN: 0xe007, Interface: 3}
	b := Origin{HasVLAN: true, VLAN: 0x0007, Interface: 3, Direction: DirectionIn}
	if a.Scope() != b.Scope() {
		t.Error("a VLAN's priority bits make another scope")
	}
	b.HasVLAN, b.VLAN = false, 0
	if a.Scope() == b.Scope() {
		t.Error("tagged and untagged packets have one scope")
	}
}
