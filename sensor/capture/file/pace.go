package file

import "time"

// pace schedules packets at the pace of their recording. One stream at a time uses it.
type pace struct {
	speed float64 // 0: no waiting
	first int64   // time of the first packet that has one, 0 before
	begun time.Time
}

// due returns how long to wait for a packet of time t. A packet without a time, or from
// before the first one, is due at once.
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

// paceTolerance is how much too early a packet may be delivered: it bounds the number
// of waits.
const paceTolerance = time.Millisecond

// keepPace waits until a packet of time t is due, and delivers all packets before it
// first.
func (s *stream) keepPace(t int64) error {
	if s.pace.speed == 0 {
		return nil
	}
	wait := s.pace.due(t, time.Now())
	if wait <= paceTolerance {
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
