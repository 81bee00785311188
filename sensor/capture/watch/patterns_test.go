package watch

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func (s *harness) begin() {
	s.t.Helper()
	if err := s.w.begin(); err != nil {
		s.t.Fatal(err)
	}
}

// TestPattern: all interfaces that match are captured, now and later, and one that no
// longer matches stays captured until it is gone.
func TestPattern(t *testing.T) {
	other := up(1, "lo")
	s := newHarness(t, []netInterface{other, up(2, "eth0"), {index: 3, name: "x", alts: "\x00eth-long\x00", up: true}}, "eth*")
	s.begin()
	s.want("", 2, 3)
	s.change(other, up(2, "eth0"), up(4, "eth1"), down(5, "eth2"))
	s.want("interface is gone", 2, 4)
	s.check()
	s.want("", 2, 4, 5) // one that is down, silently
	s.change(other, up(2, "eth0"), up(4, "wan"), up(5, "eth2"))
	s.want(`interface was renamed, and is captured until it is gone" interface=wan was=eth1 pattern=eth*`, 2, 4, 5)
	s.check()
	s.want("", 2, 4, 5) // said once
	s.change(other, up(2, "eth0"), up(4, "wan"), up(5, "eth2"), up(6, "eth1"))
	s.want("interface is captured", 2, 4, 5, 6) // a new one with its old name is another one
	s.change(other, up(2, "eth0"), up(4, "eth7"), up(5, "eth2"), up(6, "eth1"))
	s.want(`"interface was renamed" interface=eth7 was=wan`, 2, 4, 5, 6)
	s.fake.on[4].dead = true
	s.check()
	s.want("another program has detached the sensor", 2, 4, 5, 6)
	s.change(other, up(4, "y"))
	s.want("interface is gone", 4)
	s.change(other)
	s.want(`interface is gone" interface=y`)
	if n := len(s.w.targets); n != 0 {
		t.Errorf("%d targets are left", n)
	}
	s.change(other, up(9, "z"))
	s.want("")
	if want := []int{3, 4, 2, 5, 6, 4}; !slices.Equal(s.fake.closed, want) {
		t.Errorf("closed %v, want %v", s.fake.closed, want)
	}
}

// TestNameAndPattern: an interface that both mean is captured once. The name follows the
// name and the pattern keeps what it matches, without a gap.
func TestNameAndPattern(t *testing.T) {
	s := newHarness(t, []netInterface{up(1, "eth0"), up(2, "eth1")}, "e*", "eth0", "*1")
	s.begin()
	s.want("", 1, 2)
	if got := s.w.Attached(); !slices.Equal(got, []string{"eth0: fake 1", "eth1: fake 2"}) {
		t.Errorf("attached %q", got)
	}
	s.change(up(1, "old"), up(2, "eth1"))
	s.want("interface was renamed, and is captured until another one has the old name", 1, 2)
	s.change(up(1, "old"), up(2, "eth0"))
	s.want(`interface has its name again" interface=eth0`, 2) // the name takes it from the pattern
	s.change(up(1, "e7"), up(2, "eth0"))
	s.want("interface is captured", 1, 2)
	s.change(up(1, "eth0"), up(2, "e7")) // swapped
	s.want("interface was renamed", 1, 2)
	s.change(up(1, "e8"), up(2, "e7"))
	s.want("interface was renamed, and", 1, 2)
	s.change(up(1, "e8"), up(2, "e7"), up(3, "eth0"))
	s.want("another interface has the name now", 1, 2, 3)
	if want := []int{1}; !slices.Equal(s.fake.closed, want) { // old, which nothing means
		t.Errorf("closed %v, want %v", s.fake.closed, want)
	}
	if got := s.w.Attached(); !slices.Equal(got, []string{"eth0: fake 3", "e7: fake 2", "e8: fake 1"}) {
		t.Errorf("attached %q", got)
	}
	s.change(up(1, "e8"))
	s.want("interface is gone, waiting", 1)
	s.change(up(1, "eth0")) // from the pattern to a name that has none
	s.want("interface is back", 1)
	if len(s.fake.closed) != 3 || len(s.w.targets) != 1 {
		t.Errorf("closed %v, %d targets", s.fake.closed, len(s.w.targets))
	}
}

// TestNothingMatches at the start.
func TestNothingMatches(t *testing.T) {
	f := func(want string, words ...string) {
		t.Helper()
		s := newHarness(t, []netInterface{up(1, "lo"), down(2, "eth0")}, words...)
		err := s.w.begin()
		if err == nil || err.Error() != want || !errors.Is(err, ErrNoInterface) {
			t.Errorf("%q: %v, want %s", words, err, want)
		}
		s.want("")
	}
	f("no interface matches wlan* (there are: lo, eth0)", "lo", "wlan*")
	f("no interface wlan0 (there are: lo, eth0)", "*", "wlan0")
	s := newHarness(t, []netInterface{up(1, "lo"), down(2, "eth0")}, "eth*")
	s.begin()
	s.want("no interface is up: waiting for one", 2)
	s.change(up(2, "eth0"))
	s.want("interface is captured", 2)
}

// TestPatternFailing: an interface of a pattern that cannot be captured is no error
// beside others, and an error alone.
func TestPatternFailing(t *testing.T) {
	s := newHarness(t, []netInterface{up(1, "a0"), up(2, "a1")}, "a*")
	s.fake.refuse[2] = errors.New("no room")
	s.begin()
	s.want("an interface cannot be captured", 1)
	delete(s.fake.refuse, 2)
	s.check()
	s.want("interface is captured", 1, 2)
	s = newHarness(t, []netInterface{up(2, "a1")}, "a*")
	s.fake.refuse[2] = errors.New("no room")
	if err := s.w.begin(); err == nil || err.Error() != "interface a1: no room" {
		t.Errorf("begin: %v", err)
	}
}

// TestWords: what cannot be read, or means the same twice.
func TestWords(t *testing.T) {
	f := func(want string, words ...string) {
		t.Helper()
		if err := checkWords(words); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", words, err, want)
		}
	}
	f("", "a", "b", "a*", "*")
	f("", "any")
	f("the name of an interface is empty", "a", "")
	if (netInterface{name: "a", alts: "\x00b\x00\x00c\x00"}).hasName("") {
		t.Error("an empty name means an interface with two other names")
	}
	f("named twice", "a", "b", "a")
	f("named twice", "a*", "a*")
	f(`pattern "eth[" cannot be read`, "eth[")
	f("name no others", "any", "a")
	for _, c := range []struct {
		word, name string
		want       bool
	}{
		{"eth*", "eth0", true}, {"eth*", "eth", true}, {"eth*", "veth0", false}, {"veth[0-9]*", "veth7a", true}, {"veth[0-9]*", "vetha", false},
		{"eth?", "eth10", false}, {"*", "lo", true}, {"any", "lo", true}, {"any", "any", true}, {"lo", "lo", true}, {"lo", "lo1", false}, {"eth[", "eth0", false},
	} {
		if got := Matches(c.word, c.name); got != c.want {
			t.Errorf("%s matches %s: %v", c.word, c.name, got)
		}
	}
}

// TestWait: names and patterns need not exist.
func TestWait(t *testing.T) {
	s := newHarness(t, []netInterface{up(1, "lo")}, "eth7", "lo", "veth*")
	s.w.options.Wait = -1
	s.begin()
	s.want(`waiting for interfaces eth7, veth*`, 1)
	s.change(up(1, "lo"), up(2, "eth7"))
	s.want("interface is captured", 1, 2)
	s.change(up(1, "lo"), up(2, "eth7"), up(3, "veth0"))
	s.want("interface is captured", 1, 2, 3)
	s.change(up(1, "lo"), up(3, "veth0"))
	s.want("interface is gone, waiting", 1, 3)
	s.change(up(1, "lo"), up(3, "veth0"), up(4, "eth7"))
	s.want("interface is back", 1, 3, 4)

	// One that vanishes while it is attached is awaited.
	s = newHarness(t, []netInterface{up(2, "eth7")}, "eth7")
	s.w.options.Wait = -1
	s.w.exists = func(int) bool { return false }
	s.fake.refuse[2] = errors.New("no such device")
	s.begin()
	s.change()
	s.want("")
	s.change(up(3, "eth7"))
	s.want("interface is captured", 3)
}

// TestWaitForTheFirst: the start takes until the first interface is captured, and no
// longer than Wait.
func TestWaitForTheFirst(t *testing.T) {
	await := func(wait time.Duration, words []string, then func(s *harness)) (s *harness, took time.Duration, err error) {
		s = newHarness(t, []netInterface{up(1, "lo")}, words...)
		s.w.options.Wait = wait
		s.w.links.changed = make(chan struct{}, 1)
		s.begin()
		s.log.Reset()
		then(s)
		began := time.Now()
		err = s.w.awaitFirst()
		return s, time.Since(began), err
	}
	changed := func(existing ...netInterface) func(s *harness) {
		return func(s *harness) {
			s.sees(existing...)
			s.w.links.notify()
		}
	}
	s, _, err := await(time.Hour, []string{"eth7", "eth8"}, changed(up(1, "lo"), up(2, "eth7")))
	if err != nil {
		t.Error(err)
	}
	s.want("interface is captured", 2)
	s, _, err = await(time.Hour, []string{"eth7", "lo"}, func(*harness) {})
	if err != nil {
		t.Error(err)
	}
	s.want("", 1)
	if _, _, err = await(time.Hour, []string{"eth*"}, changed(down(2, "eth7"))); err != nil {
		t.Error(err)
	}
	_, took, err := await(30*time.Millisecond, []string{"eth7", "e*"}, func(*harness) {})
	want := "after 30ms still no interface eth7 (there are: lo)\nafter 30ms still no interface matches e* (there are: lo)"
	if err == nil || err.Error() != want || !errors.Is(err, ErrNoInterface) || took < 30*time.Millisecond {
		t.Errorf("after %s: %v", took, err)
	}
	_, _, err = await(30*time.Millisecond, []string{"eth7"}, func(s *harness) {
		s.fake.refuse[2] = errors.New("no room")
		changed(up(2, "eth7"))(s)
	})
	if err == nil || err.Error() != "interface eth7: no room" {
		t.Errorf("one that cannot be captured: %v", err)
	}
	stop := make(chan struct{})
	close(stop)
	s, _, err = await(time.Hour, []string{"eth7"}, func(s *harness) { s.w.options.Stop = stop })
	if err != nil {
		t.Error(err)
	}
	s.want("")
}

// TestBack: an interface that has left and come back with the same number between two
// updates is attached anew, or found to be attached still.
func TestBack(t *testing.T) {
	for _, word := range []string{"a", "a*"} {
		s := newHarness(t, []netInterface{up(1, "a")}, word)
		s.begin()
		back := up(1, "a")
		back.born = 1
		s.fake.on[1].dead = true
		s.change(back)
		s.want("interface is back", 1)
		s.change(back)
		s.want("", 1)
		back.born = 2
		s.change(back)
		s.want("", 1)
		if want := []int{1}; !slices.Equal(s.fake.closed, want) {
			t.Errorf("%s: closed %v, want %v", word, s.fake.closed, want)
		}
	}
}

// TestNotes: packets that pass two captured interfaces are told once.
func TestNotes(t *testing.T) {
	bridge, port := netInterface{index: 1, name: "br0", kind: "bridge", up: true}, netInterface{index: 2, name: "eth0", master: 1, up: true}
	vlan := netInterface{index: 3, name: "eth0.42", kind: "vlan", parent: 2, up: true}
	one := netInterface{index: 4, name: "v0", kind: "veth", parent: 5, up: true}
	two := netInterface{index: 5, name: "v1", kind: "veth", parent: 4, up: true}
	tunnel := netInterface{index: 6, name: "vxlan0", kind: "vxlan", parent: 2, up: true}
	all := []netInterface{bridge, port, vlan, one, two, tunnel}
	note := func(want string, words ...string) {
		t.Helper()
		s := newHarness(t, all, words...)
		s.begin()
		if got := s.log.String(); want == "" && got != "" || !strings.Contains(got, want+": each") && want != "" || strings.Count(got, "\n") > 1 {
			t.Errorf("%q: want %q:\n%s", words, want, got)
		}
	}
	note("packets pass br0 and eth0", "br0", "eth0")
	note("packets pass br0 and eth0, eth0.42 and eth0", "eth0", "br0", "eth0.42")
	note("packets pass v0 and v1", "v1", "v0")
	note("", "vxlan0", "eth0")
	note("", "br0", "eth0.42", "v0")
	note("packets pass br0 and eth0, eth0.42 and eth0, v0 and v1", Any)
	s := newHarness(t, all, Any)
	s.w.options.Dedup = true
	s.begin()
	s.want("", 1, 2, 3, 4, 5, 6)

	s = newHarness(t, []netInterface{bridge, port}, "br0", "eth9")
	s.w.options.Wait = -1
	s.begin()
	s.log.Reset()
	late := netInterface{index: 9, name: "eth9", master: 1, up: true}
	s.change(bridge, port, late)
	s.want("packets pass br0 and eth9", 1, 9)
	s.change(bridge, port)
	s.log.Reset()
	late.index = 10
	s.change(bridge, port, late)
	if strings.Contains(s.log.String(), "packets pass") {
		t.Errorf("said again:\n%s", &s.log)
	}

	many := []netInterface{bridge}
	for n := range 300 {
		many = append(many, netInterface{index: 10 + n, name: "veth", kind: "veth", master: 1, up: true})
		many[n+1].name += string(rune('a'+n%26)) + string(rune('a'+n/26))
	}
	s = newHarness(t, many, Any)
	s.begin()
	if got := s.log.String(); !strings.Contains(got, "and 296 more such pairs") || strings.Count(got, "\n") != 1 {
		t.Errorf("%s", got)
	}
	s.log.Reset()
	s.change(append(many, netInterface{index: 900, name: "new", kind: "veth", master: 1, up: true})...)
	if got := s.log.String(); strings.Count(got, "\n") != 1 { // interface is captured
		t.Errorf("%s", got)
	}
}
