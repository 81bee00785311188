package worker

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/dnstap"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/mask"
	"dnsmonster-sensor/userspace/packet"
)

var (
	clientBytes = []byte{192, 0, 2, 77}
	serverBytes = netip.MustParseAddr("2001:db8:5::5:53").AsSlice()
)

// exchange is a frame of that type with both messages.
func exchange(kind dnstap.Type) dnstap.Frame {
	return dnstap.Frame{
		Identity: []byte("ns1"), Version: []byte("knot 3.4"), Type: kind, Family: 1, Protocol: 3, QueryAddress: clientBytes, ResponseAddress: serverBytes,
		QueryPort: 5353, ResponsePort: 853, QueryTime: asked, ResponseTime: answered, Query: askedWire, Response: answeredWire,
	}
}

// stored is a copy of an event, from a block.
func stored(t *testing.T, e *event.Event) (back event.Event) {
	b := event.NewBlock(1 << 10)
	b.Append(e)
	r := b.Reader()
	if !r.Next(&back) {
		t.Fatal("the block is empty")
	}
	return back
}

// handlePayload handles a frame that came at the time came, and returns copies of its events.
func (b *rig) handlePayload(payload []byte, came int64) (events []event.Event) {
	b.t.Helper()
	b.given++
	b.worker.Packet(&packet.Packet{Data: payload, WireLen: uint32(len(payload)), Link: packet.LinkDnstap, Time: came, Interface: 4}, func(e *event.Event) {
		events = append(events, stored(b.t, e))
	})
	b.balanced(true)
	return events
}

func (b *rig) handleFrame(f dnstap.Frame) []event.Event {
	b.t.Helper()
	payload, _, _ := f.Append(nil)
	return b.handlePayload(payload, 0)
}

// wireOf is the payload that an event came in.
func wireOf(t *testing.T, e *event.Event) []byte {
	t.Helper()
	payload, ok := dnstap.AppendPayload(nil, e)
	if !ok {
		t.Fatal("the event has no frame")
	}
	return payload
}

// TestFrame: an event has all properties of its frame, and the next event has none of them.
func TestFrame(t *testing.T) {
	b := newRig(t, Config{})
	events := b.handleFrame(exchange(dnstap.ClientResponse))
	if len(events) != 1 {
		t.Fatalf("%d events", len(events))
	}
	e := &events[0]
	server, client := netip.MustParseAddrPort("[2001:db8:5::5:53]:853"), netip.MustParseAddrPort("192.0.2.77:5353")
	if e.Time != answered || e.QueryTime != asked || e.ResponseTime != answered || e.Src != server || e.Dst != client || e.Proto != event.DoT || e.Interface != 4 ||
		string(e.Identity) != "ns1" || string(e.Version) != "knot 3.4" || len(e.Fields) != 0 || string(e.Message) != string(answeredWire) || !e.DNS.Response() {
		t.Errorf("event %+v", e)
	}
	if e := b.handleFrame(exchange(dnstap.ClientQuery))[0]; e.Time != asked || e.Src != client || e.Dst != server || e.DNS.Response() {
		t.Errorf("query %+v", e)
	}
	bare := dnstap.Frame{Type: dnstap.ClientQuery, Query: askedWire}
	if e := b.handleFrame(bare)[0]; e.Identity != nil || e.Version != nil || e.Proto != 0 || e.Src.IsValid() || e.QueryTime != 0 || e.ResponseTime != 0 {
		t.Errorf("the frame after it gives %+v", e)
	}
	b.frame(udp4())
	if last := b.got[len(b.got)-1]; last.src != "192.0.2.1:5353" || last.proto != event.UDP {
		t.Errorf("the packet after it gives %+v", last)
	}
	b.end()
}

// TestFrameOutcomes: each frame has one outcome, and impossible values are counted beside it.
func TestFrameOutcomes(t *testing.T) {
	f := func(what string, cfg FrameConfig, payload []byte, want account.Column, events int, meters ...account.Column) {
		t.Helper()
		b := newRig(t, Config{Frames: cfg})
		if got := b.handlePayload(payload, 0); len(got) != events || b.count(want) != 1 {
			t.Errorf("%s: %d events, want %d; %d with the outcome %d", what, len(got), events, b.count(want), want)
		}
		for c := account.FrameOther; c <= account.FrameWrongTime; c++ {
			n := uint64(0)
			for _, m := range meters {
				if m == c {
					n++
				}
			}
			if b.count(c) != n {
				t.Errorf("%s: meter %d is %d, want %d", what, c, b.count(c), n)
			}
		}
		if got, want := b.messages.Sum(account.MessageIn), b.count(account.WholeMessage)+b.count(account.FrameOther); got != want {
			t.Errorf("%s: %d messages, want %d", what, got, want)
		}
	}
	wire := func(f dnstap.Frame, more ...byte) []byte {
		payload, _, _ := f.Append(nil)
		return append(payload, more...)
	}
	both, all := FrameConfig{Both: true}, FrameConfig{}
	kinds := func(words ...string) FrameConfig {
		set, err := dnstap.ParseTypes(words)
		if err != nil {
			t.Fatal(err)
		}
		return FrameConfig{Types: set, Both: true}
	}
	frame, none := exchange(dnstap.ResolverQuery), dnstap.Frame{Type: dnstap.ClientQuery, QueryAddress: clientBytes}
	f("usual", all, wire(frame), account.WholeMessage, 1)
	f("both", both, wire(frame), account.WholeMessage, 2, account.FrameOther)
	f("chosen", kinds("resolver"), wire(frame), account.WholeMessage, 2, account.FrameOther)
	f("not chosen", kinds("client", "auth"), wire(frame), account.FrameUnselected, 0)
	f("broken", all, wire(frame, 0xff), account.FrameBroken, 0)
	f("empty", all, nil, account.FrameNotMessage, 0)
	f("no type", all, wire(dnstap.Frame{Query: askedWire}), account.FrameNotMessage, 0)
	f("no message", all, wire(none), account.FrameEmpty, 0)
	f("no message, both", both, wire(none), account.FrameEmpty, 0)
	none.Response = answeredWire
	f("the other message alone", all, wire(none), account.FrameEmpty, 0)
	f("the other message alone, both", both, wire(none), account.WholeMessage, 1)
	f("a message of no byte", all, wire(dnstap.Frame{Type: dnstap.ToolQuery, Query: []byte{}}), account.WholeMessage, 0)
	f("a message of 64 KiB", all, wire(dnstap.Frame{Type: dnstap.ToolQuery, Query: make([]byte, 1<<16)}), account.WholeMessage, 0)
	frame.Type = 99
	f("an unknown type", all, wire(frame), account.WholeMessage, 1)
	f("an unknown type, both", both, wire(frame), account.WholeMessage, 2, account.FrameOther)
	f("an unknown type, not chosen", kinds("client"), wire(frame), account.FrameUnselected, 0)
	f("an unknown type, all chosen", kinds("client", "all"), wire(frame), account.WholeMessage, 2, account.FrameOther)

	var m []byte
	m = protowire.AppendVarint(protowire.AppendTag(m, 1, protowire.VarintType), 5)
	m = protowire.AppendBytes(protowire.AppendTag(m, 4, protowire.BytesType), []byte("five5"))
	m = protowire.AppendVarint(protowire.AppendTag(m, 6, protowire.VarintType), 70000)
	m = protowire.AppendVarint(protowire.AppendTag(m, 8, protowire.VarintType), 1<<40)
	m = protowire.AppendBytes(protowire.AppendTag(m, 10, protowire.BytesType), askedWire)
	payload := protowire.AppendBytes(protowire.AppendTag(nil, 14, protowire.BytesType), m)
	payload = protowire.AppendVarint(protowire.AppendTag(payload, 15, protowire.VarintType), 1)
	f("impossible values", all, payload, account.WholeMessage, 1, account.FrameWrongAddress, account.FrameWrongPort, account.FrameWrongTime)
}

// TestFrameBoth: the other message has its own direction, time and type, and the identity.
func TestFrameBoth(t *testing.T) {
	b := newRig(t, Config{Frames: FrameConfig{Both: true, Keep: true}})
	f := func(kind, other dnstap.Type) {
		t.Helper()
		sent := exchange(kind)
		events := b.handleFrame(sent)
		if len(events) != 2 {
			t.Fatalf("%s: %d events", kind, len(events))
		}
		query, response := &events[0], &events[1]
		if query.DNS.Response() {
			query, response = response, query
		}
		if query.Time != asked || response.Time != answered || query.Src != response.Dst || query.Dst != response.Src || query.Src.Port() != 5353 ||
			string(query.Identity) != "ns1" || string(response.Identity) != "ns1" || string(query.Version) != string(response.Version) || query.Proto != response.Proto {
			t.Errorf("%s: query %+v\nresponse %+v", kind, query, response)
		}
		payload, _, _ := sent.Append(nil)
		if got := wireOf(t, &events[0]); !bytes.Equal(got, payload) {
			t.Errorf("%s: the frame is %x, want %x", kind, got, payload)
		}
		var second dnstap.Frame
		if fault := second.Parse(wireOf(t, &events[1])); fault != dnstap.NoFault || second.Type != other || string(second.Main()) != string(events[1].Message) || *second.OtherMessage() != nil {
			t.Errorf("%s: the frame of the other message: fault %d, %+v", kind, fault, second)
		}
	}
	f(dnstap.ClientQuery, dnstap.ClientResponse)
	f(dnstap.AuthResponse, dnstap.AuthQuery)
	f(99, 99)
	lone := exchange(dnstap.ClientQuery)
	lone.Query = nil
	events := b.handleFrame(lone)
	lone.Type = dnstap.ClientResponse // otherwise nobody who reads the frame finds the message that its type names
	if payload, _, _ := lone.Append(nil); len(events) != 1 || !events[0].DNS.Response() || events[0].Src.Port() != 853 || !bytes.Equal(wireOf(t, &events[0]), payload) {
		t.Errorf("the other message alone: %+v", events)
	}
}

// TestFrameTime: a record has its message's time, or the other's, or when the frame came.
func TestFrameTime(t *testing.T) {
	f := func(query, response, came, want, wantOther int64) {
		t.Helper()
		frame := exchange(dnstap.ClientResponse)
		frame.QueryTime, frame.ResponseTime = query, response
		payload, _, _ := frame.Append(nil)
		events := newRig(t, Config{Frames: FrameConfig{Both: true}}).handlePayload(payload, came)
		if events[0].Time != want || events[1].Time != wantOther || events[0].QueryTime != query || events[0].ResponseTime != response {
			t.Errorf("asked %d, answered %d, came %d: times %d and %d", query, response, came, events[0].Time, events[1].Time)
		}
	}
	f(1e9, 2e9, 3e9, 2e9, 1e9)
	f(1e9, 0, 3e9, 1e9, 1e9)
	f(0, 2e9, 3e9, 2e9, 2e9)
	f(0, 0, 3e9, 3e9, 3e9)
	f(0, 0, 0, 0, 0)
}

// TestFrameKept: a frame passes as it is, with fields that nobody knows.
func TestFrameKept(t *testing.T) {
	frame := exchange(dnstap.ClientResponse)
	payload, _, _ := frame.Append(nil)
	payload = append(payload, "\xa2\x06\x03odd"...)
	b := newRig(t, Config{Frames: FrameConfig{Keep: true}})
	e := b.handlePayload(payload, 0)[0]
	if got := wireOf(t, &e); !bytes.Equal(got, payload) {
		t.Errorf("%x, want %x", got, payload)
	}
	if n := bytes.Count(e.Fields, answeredWire); n != 0 || bytes.Count(e.Fields, askedWire) != 1 {
		t.Errorf("the fields hold the event's message %d times: %x", n, e.Fields)
	}
}

// TestFrameSampling: a frame is sampled once, with both of its messages.
func TestFrameSampling(t *testing.T) {
	b := newRig(t, Config{Frames: FrameConfig{Both: true}, Sample: NewSampler(packet.Ratio{Keep: 1, Of: 4}, false)})
	n := 0
	for range 20 {
		for _, e := range b.handleFrame(exchange(dnstap.ClientQuery)) {
			if n++; e.Sample != (packet.Ratio{Keep: 1, Of: 4}) {
				t.Errorf("ratio %+v", e.Sample)
			}
		}
	}
	if n != 10 || b.count(account.SampledOut) != 15 || b.count(account.WholeMessage) != 5 || b.count(account.FrameOther) != 5 {
		t.Errorf("%d events, %d frames left out, %d handed on, %d other messages", n, b.count(account.SampledOut), b.count(account.WholeMessage), b.count(account.FrameOther))
	}
}

// withSubnet is the message with a client subnet.
func withSubnet(wire []byte, subnet string) []byte {
	m := bytes.Clone(wire)
	m[11] = 1
	m = append(m, "\x00\x00\x29\x04\xd0\x00\x00\x00\x00"...)
	m = binary.BigEndian.AppendUint16(m, uint16(8+len(subnet)))
	m = append(m, "\x00\x08"...)
	m = binary.BigEndian.AppendUint16(m, uint16(4+len(subnet)))
	return append(append(m, 0, 1, byte(8*len(subnet)), 0), subnet...)
}

// secretive is a frame that tells the client's address in each place that may have it.
func secretive(kind dnstap.Type) (frame dnstap.Frame, payload []byte) {
	frame = exchange(kind)
	frame.Query, frame.Response = withSubnet(askedWire, string(clientBytes)), withSubnet(answeredWire, string(clientBytes))
	frame.Policy = (&dnstap.Policy{Type: []byte("RPZ"), Rule: []byte("\x0232\x0277\x012\x010\x03192\x0drpz-client-ip\x00"), Action: 4, Match: dnstap.MatchClientIP, Value: clientBytes}).Append(nil)
	payload, _, _ = frame.Append(nil)
	return frame, append(payload, "\xa2\x06\x04\xc0\x00\x02\x4d"...) // and a field that nobody knows
}

// TestDefect05MasksApplyToFrames: dnsmonster wrote whole addresses of dnstap. Nothing of an
// event, as it is in memory and on disk, holds a byte that the masks hide.
func TestDefect05MasksApplyToFrames(t *testing.T) {
	masks := &mask.Bits{V4: 24, V6: 32}
	for _, keep := range []bool{false, true} {
		for _, both := range []bool{false, true} {
			for kind := dnstap.AuthQuery; kind <= 15; kind++ {
				b := newRig(t, Config{Mask: masks, MaskECS: true, Frames: FrameConfig{Keep: keep, Both: both}})
				_, payload := secretive(kind)
				events := b.handlePayload(payload, 0)
				if want := map[bool]int{false: 1, true: 2}[both]; len(events) != want {
					t.Fatalf("%s: %d events", kind, len(events))
				}
				for i := range events {
					e := &events[i]
					block := event.NewBlock(1 << 10)
					block.Append(e)
					all := block.Bytes()
					for _, secret := range []string{string(clientBytes), "\x0277\x012", string(serverBytes[8:]), "2.77"} {
						if bytes.Contains(all, []byte(secret)) {
							t.Errorf("%s, keep %v, both %v: %x is in %x", kind, keep, both, secret, all)
						}
					}
					if got := []string{e.Src.Addr().String(), e.Dst.Addr().String()}; !strings.Contains(strings.Join(got, " "), "192.0.2.0") || !strings.Contains(strings.Join(got, " "), "2001:db8::") {
						t.Errorf("%s: addresses %v", kind, got)
					}
					if !keep {
						continue
					}
					var f dnstap.Frame
					var p dnstap.Policy
					if fault := f.Parse(wireOf(t, e)); fault != dnstap.NoFault || string(f.Main()) != string(e.Message) || !bytes.Equal(f.QueryAddress, []byte{192, 0, 2, 0}) ||
						!p.Parse(f.Policy) || string(p.Type) != "RPZ" || p.Action != 4 || p.Match != dnstap.MatchClientIP || p.Rule != nil || f.QueryPort != 5353 {
						t.Errorf("%s: fault %d, %+v, policy %+v", kind, fault, f, p)
					}
				}
			}
		}
	}
}

// TestDefect06ResponsesWithTheirQuery: dnsmonster wrote them as queries.
func TestDefect06ResponsesWithTheirQuery(t *testing.T) {
	b := newRig(t, Config{})
	for kind := dnstap.AuthQuery; kind <= dnstap.UpdateResponse; kind++ {
		e := b.handleFrame(exchange(kind))[0]
		if e.DNS.Response() != kind.IsResponse() || (e.Src.Port() == 853) != kind.IsResponse() || (e.Dst.Port() == 5353) != kind.IsResponse() || (e.Time == answered) != kind.IsResponse() {
			t.Errorf("%s: %+v", kind, e)
		}
	}
}

// TestDefect07FramesWithoutAddresses: they ended dnsmonster. They are records without
// addresses, whatever family the frame claims.
func TestDefect07FramesWithoutAddresses(t *testing.T) {
	b := newRig(t, Config{Mask: &mask.Bits{V4: 24, V6: 64}, MaskECS: true, Frames: FrameConfig{Keep: true, Both: true}})
	for _, family := range []uint32{0, 1, 2, 3} {
		for _, which := range []int{0, 1, 2, 3} {
			f := exchange(dnstap.ClientResponse)
			f.Family, f.Query = family, nil
			if which&1 == 0 {
				f.QueryAddress = nil
			}
			if which&2 == 0 {
				f.ResponseAddress = nil
			}
			events := b.handleFrame(f)
			if len(events) != 1 || events[0].Dst.Addr().IsValid() != (which&1 != 0) || events[0].Src.Addr().IsValid() != (which&2 != 0) ||
				events[0].Src.Port() != 853 || events[0].Dst.Port() != 5353 || events[0].DNS.Malformed.Yes() {
				t.Errorf("family %d, addresses %b: %+v", family, which, events)
			}
		}
	}
	if n := b.count(account.WholeMessage); n != 16 {
		t.Errorf("%d records", n)
	}
}

// TestFrameMaskChanges: a new mask holds from the next frame on.
func TestFrameMaskChanges(t *testing.T) {
	b := newRig(t, Config{MaskECS: true, Frames: FrameConfig{Keep: true}})
	_, payload := secretive(dnstap.ClientQuery)
	plain := b.handlePayload(payload, 0)[0]
	b.worker.SetMask(&mask.Bits{V4: 16, V6: 32})
	masked := b.handlePayload(payload, 0)[0]
	b.worker.SetMask(nil)
	again := b.handlePayload(payload, 0)[0]
	if !bytes.Equal(wireOf(t, &plain), payload) || !bytes.Equal(wireOf(t, &again), payload) || plain.Src != again.Src {
		t.Error("without masks the frame is not what it was")
	}
	if bytes.Contains(wireOf(t, &masked), clientBytes) || masked.Src.Addr().String() != "192.0.0.0" {
		t.Errorf("masked: %s, %x", masked.Src, wireOf(t, &masked))
	}
}

// TestFrameAllocatesNothing: in each way that a frame can take.
func TestFrameAllocatesNothing(t *testing.T) {
	_, payload := secretive(dnstap.ClientResponse)
	for _, masks := range []*mask.Bits{nil, {V4: 24, V6: 32}} {
		for _, cfg := range []FrameConfig{{}, {Both: true}, {Keep: true}, {Both: true, Keep: true}} {
			b, block := newRig(t, Config{Mask: masks, MaskECS: true, Frames: cfg}), event.NewBlock(1<<16)
			p := packet.Packet{Data: payload, WireLen: uint32(len(payload)), Link: packet.LinkDnstap}
			emit := block.Append
			if n := testing.AllocsPerRun(1000, func() {
				block.Reset()
				b.worker.Packet(&p, emit)
			}); n != 0 {
				t.Errorf("%+v, masks %v: %v allocations for a frame, want 0", cfg, masks, n)
			}
		}
	}
}

func BenchmarkFrame(b *testing.B) {
	frame := exchange(dnstap.ClientResponse)
	frame.Query = nil
	payload, _, _ := frame.Append(nil)
	for _, keep := range []bool{false, true} {
		b.Run(map[bool]string{false: "message", true: "keep"}[keep], func(b *testing.B) {
			w := New(Config{Ports: &Ports{}, Frames: FrameConfig{Keep: keep}}, account.NewPacketCounters().Shard(), account.NewMessageCounters().Shard())
			p := packet.Packet{Data: payload, WireLen: uint32(len(payload)), Link: packet.LinkDnstap}
			for b.Loop() {
				w.Packet(&p, func(*event.Event) {})
			}
		})
	}
}
