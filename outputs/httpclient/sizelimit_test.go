//go:build linux

package httpclient

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"dnsmonster-sensor/userspace/event"
)

// TestSizeLimitLifted: bodies become large again some time after the server accepts
// large ones, as after a wrong setting of a proxy in front of it.
func TestSizeLimitLifted(t *testing.T) {
	var most, bodies atomic.Int32
	s := serve(t, func(w http.ResponseWriter, _ *http.Request, body string) {
		if len(body) > int(most.Load()) {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		bodies.Add(1)
	})
	c := client(t, Config{}, s.URL)
	w := &Writer{Client: c, Request: c.NewLinesRequest(""), Append: func(dst []byte, _ *event.Block, _ int, _ *event.Event) ([]byte, error) {
		return append(dst, "123456789\n"...), nil
	}}
	ids := event.NewIDs()
	f := func(limit, want int32) {
		t.Helper()
		most.Store(limit)
		bodies.Store(0)
		b := event.NewBlock(1000)
		for range 8 {
			b.Append(&event.Event{Message: make([]byte, 12)})
		}
		b.Seal(ids.Next(), time.Now())
		ctx, cancel := context.WithTimeout(context.Background(), generous)
		defer cancel()
		if refused, err := w.Write(ctx, b); refused != 0 || err != nil || bodies.Load() != want {
			t.Errorf("%d bytes at most: %d refused, %v, in %d bodies, want %d", limit, refused, err, bodies.Load(), want)
		}
	}
	f(1000, 1)
	f(20, 4)
	f(1000, 3) // below the 40 bytes that were too many
	w.sizeLimitSet = w.sizeLimitSet.Add(-sizeLimitAge)
	f(1000, 1)
	f(20, 4)
}
