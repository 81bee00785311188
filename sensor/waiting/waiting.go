// Package waiting tells a person what the program waits for: a server, a list, a disk, a
// pipe. A description of the step comes in; if the step takes longer than a moment, one
// line goes out, and another one when it has ended. It imports nothing of this project.
// Its tests wait for short times.
package waiting

import (
	"fmt"
	"time"
)

// Moment is how long a step may take before it is named.
const Moment = time.Second

// Step is something that may take long.
type Step struct {
	// What completes the sentence "waiting for ...". It is called when that is said.
	What func() string
	// Say prints one line, at any time, from another goroutine.
	Say func(line string)
	// After is how long the step may take before it is named; 0: a Moment.
	After time.Duration
}

// after is how long the step may take before it is named.
func (s Step) after() time.Duration {
	if s.After == 0 {
		return Moment
	}
	return s.After
}

// Begin begins the step. The caller must call end once; after that nothing more is said.
func (s Step) Begin() (end func()) {
	begun := time.Now()
	what := ""
	said := make(chan struct{})
	timer := time.AfterFunc(s.after(), func() {
		defer close(said)
		what = s.What()
		s.Say("waiting for " + what)
	})
	return func() {
		if timer.Stop() {
			return
		}
		<-said
		s.Say(fmt.Sprintf("waited %.1f s for %s", time.Since(begun).Seconds(), what))
	}
}
