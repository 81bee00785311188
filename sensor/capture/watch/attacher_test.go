package watch

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

// fake is a back end that attaches to nothing. It remembers where it would be, by
// the interfaces' numbers.
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
		var none *fakeAttachment // as what a back end calls may return it
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

// scene is a Watcher of a fake back end, and the interfaces that it sees.
type scene struct {
	t    *testing.T
	fake *fake
	w    *Watcher
	log  bytes.Buffer
}

func newScene(t *testing.T, there []netInterface, names ...string) *scene {
	s := &scene{t: t, fake: &fake{on: map[int]*fakeAttachment{}, refuse: map[int]error{}}}
	log := slog.New(slog.NewTextHandler(&s.log, nil))
	s.w = newWatcher(s.fake, Options{Interfaces: names, Log: log})
	s.w.links = &links{log: log, names: NewNames(), done: make(chan struct{})}
	s.w.exists = func(index int) bool {
		_, ok := s.w.links.now[index]
		return ok
	}
	s.sees(there...)
	return s
}

// sees changes which interfaces there are.
func (s *scene) sees(there ...netInterface) {
	s.w.links.now = map[int]netInterface{}
	for _, i := range there {
		s.w.links.now[i.index] = i
	}
}

// change is what a change of interfaces does at once.
func (s *scene) change(there ...netInterface) {
	s.sees(there...)
	s.w.update(false)
}

// check lets all ports have their turn.
func (s *scene) check() {
	for range checkTurns {
		s.w.update(true)
	}
}

// want compares where the back end is, and what the log has said since.
func (s *scene) want(said string, on ...int) {
	s.t.Helper()
	var got []int
	for index := range s.fake.on {
		got = append(got, index)
	}
	slices.Sort(got)
	if !slices.Equal(got, on) {
		s.t.Errorf("attached to %v, want %v; log:\n%s", got, on, &s.log)
	}
	if log := s.log.String(); !strings.Contains(log, said) || said == "" && log != "" {
		s.t.Errorf("the log has not %q:\n%s", said, log)
	}
	s.log.Reset()
}

func up(index int, name string) netInterface   { return netInterface{index: index, name: name, up: true} }
func down(index int, name string) netInterface { return netInterface{index: index, name: name} }

// TestWatchAnyBackEnd: a name means the interface that has it, whatever captures
// there.
func TestWatchAnyBackEnd(t *testing.T) {
	s := newScene(t, []netInterface{up(1, "a"), up(2, "b")}, "a")
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
	s.want("interface has another name", 3)
	s.change(up(2, "a"), up(3, "c"))
	s.want("another interface has the name now", 2)
	s.fake.on[2].dead = true
	s.change(up(2, "a"), up(3, "c"))
	s.want("", 2) // nobody has looked yet
	s.check()
	s.want("another program has taken ours off", 2)
	if s.fake.on[2].dead {
		t.Error("what is not alive was not attached again")
	}
	if err := s.w.detachAll(); err != nil || len(s.fake.on) != 0 {
		t.Errorf("attached to %v after the end (%v)", s.fake.on, err)
	}
	if want := []int{1, 3, 2, 2}; !slices.Equal(s.fake.closed, want) {
		t.Errorf("closed %v, want %v", s.fake.closed, want)
	}
}

// TestWatchFailingAttach: at the start it ends the start, later it is tried again.
func TestWatchFailingAttach(t *testing.T) {
	s := newScene(t, []netInterface{up(1, "a"), up(2, "b")}, "a", "b")
	s.fake.refuse[2] = errors.New("no room")
	if err := s.w.begin(); err == nil || err.Error() != "interface b: no room" {
		t.Errorf("begin: %v", err)
	}
	_ = s.w.detachAll()
	s.want("")

	s = newScene(t, []netInterface{up(1, "a")}, "a")
	if err := s.w.begin(); err != nil {
		t.Fatal(err)
	}
	s.fake.refuse[2] = errors.New("no room")
	s.change(up(2, "a"))
	s.want("it is tried again until it can")
	s.change(up(2, "a"), up(3, "b"))
	s.want("") // nothing that concerns it
	delete(s.fake.refuse, 2)
	s.check()
	s.want("interface is captured", 2)
}

// TestWatchAny: all interfaces, now and later, and those that are down once
// nothing can take them away any more.
func TestWatchAny(t *testing.T) {
	s := newScene(t, []netInterface{up(1, "a"), down(2, "b")}, Any)
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

// TestWatchExchangedNames: where two that are named exchange their names nothing is
// detached.
func TestWatchExchangedNames(t *testing.T) {
	s := newScene(t, []netInterface{up(1, "a"), up(2, "b")}, "a", "b")
	if err := s.w.begin(); err != nil {
		t.Fatal(err)
	}
	s.change(up(1, "b"), up(2, "a"))
	s.want("interface has another name", 1, 2)
	if len(s.fake.closed) > 0 {
		t.Errorf("closed %v, want none", s.fake.closed)
	}
	if got := s.w.Attached(); !slices.Equal(got, []string{"a: fake 2", "b: fake 1"}) {
		t.Errorf("attached %q", got)
	}
}

// notTelling hides the optional part.
type notTelling struct{ Attacher }

// TestWatchWithoutHidden: a back end need not know what it does not see.
func TestWatchWithoutHidden(t *testing.T) {
	s := newScene(t, []netInterface{up(9, "a")}, "a")
	s.w.attacher = notTelling{s.fake}
	if err := s.w.begin(); err != nil {
		t.Fatal(err)
	}
	s.want("", 9)
}
