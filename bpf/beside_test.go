//go:build linux

package bpf

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// Several sensors on one interface: each sees every packet, in both directions, and goes
// on when another ends or is killed. The last one leaves nothing behind, whoever was the
// first. XDP has one place only: TestXDPBesideAnother, TestTapBesideAnother.
func TestSensorsSideBySide(t *testing.T) {
	f := func(mode Mode) {
		t.Run(string(mode), func(t *testing.T) {
			inNamespace(t)
			needMode(t, mode)
			v0, v1 := veth(t)
			type sensor struct {
				*kit
				a   *Attachment
				saw int
			}
			var sensors []*sensor
			for range 3 {
				s := newKit(t, Options{})
				sensors = append(sensors, &sensor{kit: s, a: s.attach(v0, mode)})
			}
			n := 80
			pass := func(attached ...*sensor) {
				t.Helper()
				n++
				send(t, v1, query4(n))
				send(t, v0, query4(n+1000))
				for _, s := range attached {
					s.saw++
					s.seen("tc ingress", uint64(s.saw))
					s.seen("tc egress", uint64(s.saw))
					in, data, _ := s.next()
					if in.Out || !bytes.Equal(data, query4(n)) {
						t.Errorf("arriving: %+v, %d bytes, want %d", in, len(data), n)
					}
					out, data, _ := s.next()
					if !out.Out || !bytes.Equal(data, query4(n+1000)) {
						t.Errorf("leaving: %+v, %d bytes, want %d", out, len(data), n+1000)
					}
					if _, _, ring := s.next(); ring >= 0 {
						t.Error("a packet is recorded twice")
					}
				}
			}
			end := func(s *sensor) {
				t.Helper()
				if err := s.a.Close(); err != nil {
					t.Error(err)
				}
			}
			pass(sensors...)
			attachAndKill(t, v0, mode, func() {})
			pass(sensors...)
			end(sensors[0])
			pass(sensors[1:]...)
			for _, s := range sensors[1:] {
				if !s.a.Alive() {
					t.Error("not alive after another has ended")
				}
			}
			sensors[0].a = sensors[0].attach(v0, mode)
			neighbours, err := FindNeighbours(v0)
			if err != nil || len(neighbours.TCXIngress)+len(neighbours.Ingress) != 3 || len(neighbours.TCXEgress)+len(neighbours.Egress) != 3 {
				t.Errorf("three sensors, one killed: %q, %v", neighbours.Lines(), err)
			}
			pass(sensors...)
			for _, s := range sensors {
				end(s)
			}
			wantLines(t, v0)
			if out, _ := exec.Command("tc", "qdisc", "show", "dev", "v0").Output(); strings.Contains(string(out), "clsact") {
				t.Errorf("the qdisc is left: %s", out)
			}
		})
	}
	f(ModeTCX)
	f(ModeClsact)
}
