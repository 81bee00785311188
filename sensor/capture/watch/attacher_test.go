package watch

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

// fake is an Attacher that attaches to nothing. It records the indexes of the
// interfaces that it would be attached to.
type fake struct {
	on     map[int]*fakeAttachment
	refuse map[int]error
	closed []int
}

type fakeAttachment struct {
	of    *fake
	index int
	dead  bool
}

func (f *fake) Attach(index int) (Attachment, error) {
	if err := f.refuse[index]; err != nil {
		var none *fakeAttachment // as an attacher may pass it on
		return none, err
	}
	if f.on[index] != nil {
		return nil, fmt.Errorf("attached twice to %d", index)
	}
	f.on[index] = &fakeAttachment{of: f, index: index}
	return f.on[index], nil
}

func (a *fakeAttachment) Alive() bool      { return !a.dead }
func (a *fakeAttachment) Describe() string { return fmt.Sprint("fake ", a.index) }

func (a *fakeAttachment) Close() error {
	delete(a.of.on, a.index)
	a.of.closed = append(a.of.closed, a.index)
	return nil
}

// Hidden implements HiddenReporter.
func (f *fake) Hidden(index int) ([]string, error) {
	if index == 9 {
		return []string{"a wall"}, nil
	}
	return nil, nil
}

// harness is a Watcher with a fake Attacher, and the interfaces that it sees.
type harness struct {
	t    *testing.T
	fake *fake
	w    *Watcher
	log  bytes.Buffer
}

func newHarness(t *testing.T, existing []netInterface, names ...string) *harness {
	s := &harness{t: t, fake: &fake{on: map[int]*fakeAttachment{}, refuse: map[int]error{}}}
	log := slog.New(slog.NewTextHandler(&s.log, nil))
	s.w = newWatcher(s.fake, Options{Interfaces: names, Log: log})
	s.w.links = &links{log: log, names: NewNames(), done: make(chan struct{})}
	s.w.exists = func(index int) bool {
		_, ok := s.w.links.now[index]
		return ok
	}
	s.sees(existing...)
	return s
}

// sees replaces the interfaces.
func (s *harness) sees(existing ...netInterface) {
	s.w.links.now = map[int]netInterface{}
	for _, i := range existing {
		s.w.links.now[i.index] = i
	}
}

// change replaces the interfaces, and updates as the kernel's message would.
func (s *harness) change(existing ...netInterface) {
	s.sees(existing...)
	s.w.update(false)
}

// check lets each target have its turn.
func (s *harness) check() {
	for range checkTurns {
		s.w.update(true)
	}
	s.w.update(false) // what looks detached is looked at again soon
}

// want compares the attachments, and what was logged since the last call.
func (s *harness) want(logged string, on ...int) {
	s.t.Helper()
	var got []int
	for index := range s.fake.on {
		got = append(got, index)
	}
	slices.Sort(got)
	if !slices.Equal(got, on) {
		s.t.Errorf("attached to %v, want %v; log:\n%s", got, on, &s.log)
	}
	if log := s.log.String(); !strings.Contains(log, logged) || logged == "" && log != "" {
		s.t.Errorf("the log lacks %q:\n%s", logged, log)
	}
	s.log.Reset()
}

func up(index int, name string) netInterface   { return netInterface{index: index, name: name, up: true} }
func down(index int, name string) netInterface { return netInterface{index: index, name: name} }

// TestWatchName: a name means the interface that has it at the moment.
func TestWatchName(t *testing.T) {
	s := newHarness(t, []netInterface{up(1, "a"), up(2, "b")}, "a")
	if err := s.w.begin(); err != nil {
		t.Fatal(err)
	}
	s.want("", 1)
	if got := s.w.Attached(); !slices.Equal(got, []string{"a: fake 1"}) {
		t.Errorf("attached %q", got)
	}
	s.change(up(2, "b"))
	s.want("interface is gone, waiting for it to come back")
	s.change(up(2, "b"), up(3, "a"))
	s.want("interface is back", 3)
	s.change(up(2, "b"), up(3, "c"))
	s.want("interface was renamed", 3)
	s.change(up(2, "a"), up(3, "c"))
	s.want("another interface has the name now", 2)
	s.fake.on[2].dead = true
	s.change(up(2, "a"), up(3, "c"))
	s.want("", 2) // not checked yet
	s.check()
	s.want("another program has detached the sensor", 2)
	if s.fake.on[2].dead {
		t.Error("a dead attachment was not replaced")
	}
	s.fake.on[2].dead = true
	s.check()
	s.want("", 2) // such lines are limited
	s.w.targets[0].displacedAt = time.Now().Add(-displacedInterval)
	s.fake.on[2].dead = true
	s.check()
	s.want("another program has detached the sensor, attaching again\" interface=a times=2", 2)
	if err := s.w.detachAll(); err != nil || len(s.fake.on) != 0 {
		t.Errorf("attached to %v after the end (%v)", s.fake.on, err)
	}
	if want := []int{1, 3, 2, 2, 2, 2}; !slices.Equal(s.fake.closed, want) {
		t.Errorf("closed %v, want %v", s.fake.closed, want)
	}
}

// endingFake is a fake whose attachments say when they end.
type endingFake struct {
	*fake
	last *endingAttachment
}

type endingAttachment struct {
	Attachment
	ended chan struct{}
}

func (f *endingFake) Attach(index int) (Attachment, error) {
	a, err := f.fake.Attach(index)
	f.last = &endingAttachment{a, make(chan struct{})}
	return f.last, err
}

func (a *endingAttachment) Ended() <-chan struct{} { return a.ended }
func (a *endingAttachment) Reason() error          { return errors.New("a storm") }

// TestAttachmentEnds: one that ends by itself is replaced without a check, and wakes the
// Watcher.
func TestAttachmentEnds(t *testing.T) {
	t.Parallel()
	s := newHarness(t, []netInterface{up(1, "a")}, "a")
	f := &endingFake{fake: s.fake}
	s.w.attacher = f
	if err := s.w.begin(); err != nil {
		t.Fatal(err)
	}
	first := f.last
	s.fake.on[1].dead = true
	close(first.ended)
	s.w.followEnd(first)
	select {
	case <-s.w.ended:
	default:
		t.Error("the Watcher is not woken")
	}
	s.w.update(false)
	s.want(`"the capture of an interface has ended, attaching again" interface=a times=1 reason="a storm"`, 1)
	if f.last == first || s.fake.on[1].dead {
		t.Error("it was not replaced")
	}
	close(s.w.closed)
	s.w.tasks.Wait()
}

// TestWatchFailingAttach: a failure ends the start; later it is tried again.
func TestWatchFailingAttach(t *testing.T) {
	s := newHarness(t, []netInterface{up(1, "a"), up(2, "b")}, "a", "b")
	s.fake.refuse[2] = errors.New("no room")
	if err := s.w.begin(); err == nil || err.Error() != "interface b: no room" {
		t.Errorf("begin: %v", err)
	}
	_ = s.w.detachAll()
	s.want("")

	s = newHarness(t, []netInterface{up(1, "a")}, "a")
	if err := s.w.begin(); err != nil {
		t.Fatal(err)
	}
	s.fake.refuse[2] = errors.New("no room")
	s.change(up(2, "a"))
	s.want("it is tried again until it can")
	s.change(up(2, "a"), up(3, "b"))
	s.want("") // another interface changed
	delete(s.fake.refuse, 2)
	s.check()
	s.want("interface is captured", 2)
}

// TestWatchAny: all interfaces are captured, now and later. A new one that is down is
// captured at the next check: until then it may move to another namespace.
func TestWatchAny(t *testing.T) {
	s := newHarness(t, []netInterface{up(1, "a"), down(2, "b")}, Any)
	if err := s.w.begin(); err != nil {
		t.Fatal(err)
	}
	s.want("", 1, 2)
	s.change(up(1, "a"), down(2, "b"), up(9, "c"), down(4, "d"))
	s.want("a wall", 1, 2, 9)
	s.check()
	s.want("", 1, 2, 4, 9)
	s.change(up(1, "z"))
	s.want("interface is gone", 1)
}

// TestWatchSwappedNames: when two named interfaces swap their names, nothing is
// detached.
func TestWatchSwappedNames(t *testing.T) {
	s := newHarness(t, []netInterface{up(1, "a"), up(2, "b")}, "a", "b")
	if err := s.w.begin(); err != nil {
		t.Fatal(err)
	}
	s.change(up(1, "b"), up(2, "a"))
	s.want("interface was renamed", 1, 2)
	if len(s.fake.closed) > 0 {
		t.Errorf("closed %v, want none", s.fake.closed)
	}
	if got := s.w.Attached(); !slices.Equal(got, []string{"a: fake 2", "b: fake 1"}) {
		t.Errorf("attached %q", got)
	}
}

// withoutHidden is an Attacher that is no HiddenReporter.
type withoutHidden struct{ Attacher }

// TestWatchWithoutHidden: an Attacher need not be a HiddenReporter.
func TestWatchWithoutHidden(t *testing.T) {
	s := newHarness(t, []netInterface{up(9, "a")}, "a")
	s.w.attacher = withoutHidden{s.fake}
	if err := s.w.begin(); err != nil {
		t.Fatal(err)
	}
	s.want("", 9)
}
