package dnstap

import (
	"sync/atomic"

	"dnsmonster-sensor/sensor/capture"
)

// meters count what becomes of connections.
type meters struct {
	opened, refused       atomic.Uint64
	senders               atomic.Int64
	streams, stopped      atomic.Uint64
	broken, brokenBytes   atomic.Uint64
	tls, content, tooLong atomic.Uint64
	protocol, noStart     atomic.Uint64
	stalled, memoryShort  atomic.Uint64
	acceptFailed          atomic.Uint64
}

// Kernel implements capture.KernelCounter. A frame is in when it is whole, so that each
// one is delivered.
func (s *Source) Kernel() (capture.KernelStats, error) {
	given := s.given.Load()
	s.mu.Lock()
	open := uint64(len(s.conns))
	s.mu.Unlock()
	list := []capture.Counter{
		{Name: "in", Kind: capture.CountsIn, Value: given, Known: true},
		{Name: "delivered", Kind: capture.CountsDelivered, Value: given, Known: true},
	}
	meter := func(name string, value uint64) {
		list = append(list, capture.Counter{Name: name, Kind: capture.CountsMeter, Value: value, Known: true})
	}
	meter("connections_opened", s.opened.Load())
	meter("connections_open", open)
	meter("connections_refused", s.refused.Load())
	meter("connections_failed", s.acceptFailed.Load())
	meter("streams_begun", s.streams.Load())
	meter("streams_stopped", s.stopped.Load())
	meter("streams_broken", s.broken.Load())
	meter("broken_bytes", s.brokenBytes.Load())
	meter("streams_stalled", s.stalled.Load())
	meter("frame_too_long", s.tooLong.Load())
	meter("memory_short", s.memoryShort.Load())
	meter("handshake_no_start", s.noStart.Load())
	meter("handshake_tls", s.tls.Load())
	meter("handshake_content_type", s.content.Load())
	meter("handshake_protocol", s.protocol.Load())
	return capture.KernelStats{Hooks: []capture.HookStats{{Hook: "dnstap", Counters: list}}}, nil
}
