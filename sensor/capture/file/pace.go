package file

import "time"

// pace is when packets are due that are given at the pace of their recording. One
// stream at a time uses it.
type pace struct {
	speed float64 // 0: at once
	first int64   // time of the first packet that has one, 0 before
	begun time.Time
}

// due says how long to wait for a packet of time t. One without a time, or from
// before the first, is due at once.
func (p *pace) due(t int64, now time.Time) time.Duration {
	if p.speed == 0 || t == 0 {
		return 0
	}
	if p.first == 0 {
		p.first, p.begun = t, now
	}
	after := float64(t-p.first) / p.speed
	if after <= 0 {
		return 0
	}
	return time.Duration(min(after, float64(1<<62))) - now.Sub(p.begun)
}

// closeEnough is how much too early a packet may be, so that there are not more
// waits than packets are worth.
const closeEnough = time.Millisecond

// keepPace waits until a packet of time t is due, with all before it handed out.
func (s *stream) keepPace(t int64) error {
	if s.pace.speed == 0 {
		return nil
	}
	wait := s.pace.due(t, time.Now())
	if wait <= closeEnough {
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.hurry:
		return nil
	case <-s.stop:
		return errStopped
	}
}
