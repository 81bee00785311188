package dnstap

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// TestFaults: frames that give no record, and odd ones that give one all the same.
func TestFaults(t *testing.T) {
	f := func(what, data string, want Fault) {
		t.Helper()
		var frame Frame
		if got := frame.Parse([]byte(data)); got != want {
			t.Errorf("%s: fault %d, want %d", what, got, want)
		}
		checkWhole(t, []byte(data))
	}
	f("least", payload(clientQuery), NoFault)
	f("nothing", "", NotMessage)
	f("no type of frame", bytesField(fieldMessage, clientQuery), NotMessage)
	f("another type of frame", bytesField(fieldMessage, clientQuery)+varint(fieldType, 2), NotMessage)
	f("a type of 33 bits, which protobuf cuts", bytesField(fieldMessage, clientQuery)+varint(fieldType, 1<<32+1), NoFault)
	f("no Message", varint(fieldType, 1), NotMessage)
	f("an empty Message", payload(""), NoType)
	f("no type", payload(bytesField(messageQuery, askedWire)), NoType)
	f("type 0", payload(varint(messageType, 0)+bytesField(messageQuery, askedWire)), NoType)
	f("type 99", payload(varint(messageType, 99)+bytesField(messageQuery, askedWire)), NoFault)
	f("type first, then Message", varint(fieldType, 1)+bytesField(fieldMessage, clientQuery), NoFault)
	f("two types of frame", varint(fieldType, 9)+payload(clientQuery), NoFault)
	f("text", "GET / HTTP/1.1\r\n\r\n", Broken)
	f("field 0", "\x02\x00"+payload(clientQuery), Broken)
	f("wire type 6", "\x0e"+payload(clientQuery), Broken)
	f("a varint of 11 bytes", payload(varint(messageType, 5)+"\x10"+strings.Repeat("\x80", 10)+"\x01"), Broken)
	f("a varint without end", payload(varint(messageType, 5)+"\x10\x80"), Broken)
	f("a field of 4 GiB", payload(clientQuery)+"\x0a\xff\xff\xff\xff\x0f", Broken)
	f("a field of 2^64-1 bytes", payload(clientQuery)+"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Broken)
	for n := 1; n < len(payload(clientQuery)); n++ {
		if cut := payload(clientQuery)[:n]; n != len(bytesField(fieldMessage, clientQuery)) {
			f(fmt.Sprintf("the first %d bytes", n), cut, Broken)
		}
	}
	unknown := varint(999, 1) + bytesField(1000, "x") + fixed32(1001, 1) + fixed64(1<<29-1, 1) + group(30, group(31, bytesField(1, "x")))
	f("unknown fields", unknown+payload(unknown+clientQuery+unknown)+unknown, NoFault)
	f("a group without end", payload(clientQuery)+string(protowire.AppendTag(nil, 30, protowire.StartGroupType)), Broken)
	f("the end of no group", payload(clientQuery)+string(protowire.AppendTag(nil, 30, protowire.EndGroupType)), Broken)
	f("the end of another group", payload(clientQuery+string(protowire.AppendTag(nil, 30, protowire.StartGroupType))+string(protowire.AppendTag(nil, 31, protowire.EndGroupType))), Broken)
	f("groups 20,000 deep", payload(clientQuery)+strings.Repeat(string(protowire.AppendTag(nil, 30, protowire.StartGroupType)), 20000), Broken)
	for _, n := range []protowire.Number{fieldIdentity, fieldVersion, fieldExtra, fieldMessage} {
		f("a number for bytes", varint(n, 1)+payload(clientQuery), Broken)
	}
	f("bytes for the type", bytesField(fieldType, "1")+payload(clientQuery), Broken)
	for n := protowire.Number(messageType); n <= messageHTTP; n++ {
		f("a group", payload(clientQuery+group(n, "")), Broken)
		f("eight bytes", payload(clientQuery+fixed64(n, 1)), Broken)
	}
	f("a broken policy", payload(clientQuery+bytesField(messagePolicy, "\xff")), NoFault)
	f("a broken Message before a good one", bytesField(fieldMessage, "\xff")+payload(clientQuery), Broken)
}

// TestValues: values that no field can have are counted and left out; the record stays.
func TestValues(t *testing.T) {
	f := func(what, fields string, wrong Wrong, want func(*Frame)) {
		t.Helper()
		expected := Frame{Type: ClientQuery, Query: []byte(askedWire), Wrong: wrong}
		if want != nil {
			want(&expected)
		}
		var got Frame
		if fault := got.Parse([]byte(payload(clientQuery + fields))); fault != NoFault || !same(&got, &expected) || got.Wrong != wrong {
			t.Errorf("%s: fault %d\n%+v, want\n%+v", what, fault, got, expected)
		}
		checkWhole(t, []byte(payload(clientQuery+fields)))
		checkStable(t, &got)
	}
	six, four := strings.Repeat("\x20", 16), "\xc0\x00\x02\x01"
	f("addresses", bytesField(messageQueryAddr, four)+bytesField(messageResponseAddr, six), Wrong{}, func(w *Frame) { w.QueryAddress, w.ResponseAddress = []byte(four), []byte(six) })
	f("an address of another family", varint(messageFamily, 2)+bytesField(messageQueryAddr, four), Wrong{}, func(w *Frame) { w.Family, w.QueryAddress = 2, []byte(four) })
	f("an unknown family", varint(messageFamily, 77)+bytesField(messageQueryAddr, four), Wrong{}, func(w *Frame) { w.Family, w.QueryAddress = 77, []byte(four) })
	f("empty addresses", bytesField(messageQueryAddr, "")+bytesField(messageResponseAddr, ""), Wrong{}, nil)
	f("wrong addresses", bytesField(messageQueryAddr, "x")+bytesField(messageResponseAddr, six+"x"), Wrong{Addresses: 2}, nil)
	f("300 wrong addresses", strings.Repeat(bytesField(messageQueryAddr, "x"), 300), Wrong{Addresses: 300}, nil)
	f("ports", varint(messageQueryPort, 65535)+varint(messageResponsePort, 1), Wrong{}, func(w *Frame) { w.QueryPort, w.ResponsePort = 65535, 1 })
	f("wrong ports", varint(messageQueryPort, 65536)+varint(messageResponsePort, 1<<64-1), Wrong{Ports: 2}, nil)
	f("300 wrong ports", strings.Repeat(varint(messageQueryPort, 65536), 300), Wrong{Ports: 300}, nil)
	f("times", varint(messageQuerySec, 1)+fixed32(messageQueryNsec, 999999999)+varint(messageResponseSec, 2), Wrong{}, func(w *Frame) { w.QueryTime, w.ResponseTime = 1999999999, 2e9 })
	f("the last time", varint(messageQuerySec, 9223372035)+fixed32(messageQueryNsec, 999999999), Wrong{}, func(w *Frame) { w.QueryTime = 9223372035999999999 })
	f("one second later", varint(messageQuerySec, 9223372037), Wrong{Times: 1}, nil)
	f("a time of 64 bits", varint(messageQuerySec, 1<<64-1), Wrong{Times: 1}, nil)
	f("a whole second of nanoseconds", varint(messageQuerySec, 1)+fixed32(messageQueryNsec, 1e9), Wrong{Times: 1}, nil)
	f("nanoseconds alone", fixed32(messageResponseNsec, 5), Wrong{}, func(w *Frame) { w.ResponseTime = 5 })
	f("the same field twice", varint(messageQueryPort, 1)+varint(messageQueryPort, 2)+bytesField(messageQuery, "first")+bytesField(messageQuery, askedWire), Wrong{}, func(w *Frame) { w.QueryPort = 2 })
	f("an empty message", bytesField(messageQuery, ""), Wrong{}, func(w *Frame) { w.Query = []byte{} })
	f("both messages, the same", bytesField(messageResponse, askedWire), Wrong{}, func(w *Frame) { w.Response = []byte(askedWire) })
	f("empty texts", bytesField(messageZone, "")+bytesField(messagePolicy, ""), Wrong{}, func(w *Frame) { w.Zone, w.Policy = []byte{}, []byte{} })
	f("numbers of 64 bits", varint(messageProtocol, 1<<64-1)+varint(messageHTTP, 1<<32+2), Wrong{}, func(w *Frame) { w.Protocol, w.HTTP = 1<<32-1, 2 })
}

// TestTwoMessages: the fields of two Messages are those of one.
func TestTwoMessages(t *testing.T) {
	data := []byte(bytesField(fieldMessage, clientQuery+varint(messageQueryPort, 1)+varint(messageQuerySec, 7)) +
		payload(varint(messageQueryPort, 2)+fixed32(messageQueryNsec, 8)))
	var f Frame
	if fault := f.Parse(data); fault != NoFault || f.Type != ClientQuery || string(f.Query) != askedWire || f.QueryPort != 2 || f.QueryTime != 7e9+8 {
		t.Errorf("fault %d, %+v", fault, f)
	}
	checkWhole(t, data)
}

// TestFill: the message of each type, in its own direction.
func TestFill(t *testing.T) {
	client, server := netip.MustParseAddrPort("[2020:2020:2020:2020:2020:2020:2020:2020]:5353"), netip.MustParseAddrPort("192.0.2.53:443")
	for kind := Type(0); kind < 20; kind++ {
		frame := full()
		frame.Type = kind
		var m packet.Message
		m.Fields = []byte("kept")
		frame.Fill(&m)
		src, dst, data, at := client, server, askedWire, frame.QueryTime
		if kind >= 1 && kind <= 14 && kind%2 == 0 || kind == 0 || kind > 14 {
			src, dst, data, at = server, client, answeredWire, frame.ResponseTime
		}
		if m.Src != src || m.Dst != dst || string(m.Data) != data || m.Time != at || m.QueryTime != frame.QueryTime || m.ResponseTime != frame.ResponseTime ||
			m.Proto != packet.DoH || string(m.Identity) != "ns1" || string(m.Version) != "knot 3.4" || string(m.Fields) != "kept" || m.Missing != 0 {
			t.Errorf("type %s: %+v", kind, m)
		}
		if kind != 0 {
			checkStable(t, &frame)
		}
	}
	var m packet.Message
	(&Frame{Type: ClientResponse, QueryTime: 5, QueryPort: 53}).Fill(&m)
	if m.Time != 5 || m.Src.IsValid() || m.Src.Port() != 0 || m.Dst.Port() != 53 || m.Dst.Addr().IsValid() || m.Proto != 0 || m.Data != nil {
		t.Errorf("a frame without addresses: %+v", m)
	}
	(&Frame{Type: ClientQuery, HTTP: 1}).Fill(&m)
	if m.Proto != packet.DoH {
		t.Errorf("HTTP without a protocol is %s", m.Proto)
	}
}

// TestSwap: the other message has the other type, and nothing of the first one.
func TestSwap(t *testing.T) {
	f := func(kind, other Type, first, second string, queryTime, responseTime int64) {
		t.Helper()
		frame := full()
		frame.Type = kind
		if main := string(frame.Main()); main != first || string(*frame.OtherMessage()) != second {
			t.Errorf("%s: the main message is %x", kind, main)
		}
		frame.Swap()
		if frame.Type != other || string(frame.Main()) != second || *frame.OtherMessage() != nil || frame.QueryTime != queryTime || frame.ResponseTime != responseTime {
			t.Errorf("%s became %+v", kind, frame)
		}
		checkStable(t, &frame)
	}
	whole := full()
	f(ClientQuery, ClientResponse, askedWire, answeredWire, whole.QueryTime, whole.ResponseTime)
	f(UpdateResponse, UpdateQuery, answeredWire, askedWire, whole.QueryTime, 0)
	f(99, 99, answeredWire, askedWire, whole.QueryTime, 0)
}

func TestTypes(t *testing.T) {
	names := "0 AUTH_QUERY AUTH_RESPONSE RESOLVER_QUERY RESOLVER_RESPONSE CLIENT_QUERY CLIENT_RESPONSE FORWARDER_QUERY FORWARDER_RESPONSE " +
		"STUB_QUERY STUB_RESPONSE TOOL_QUERY TOOL_RESPONSE UPDATE_QUERY UPDATE_RESPONSE 15"
	for i, name := range strings.Fields(names) {
		kind := Type(i)
		if kind.String() != name || kind.Known() != (i >= 1 && i <= 14) || kind.Known() && kind.IsResponse() != strings.HasSuffix(name, "_RESPONSE") {
			t.Errorf("type %d is %s, known %v, response %v", i, kind, kind.Known(), kind.IsResponse())
		}
		if role, _, _ := strings.Cut(strings.ToLower(name), "_"); kind.Known() && (kind.Role() != role || kind.Other().Role() != role || kind.Other().Other() != kind || kind.Other() == kind) {
			t.Errorf("%s: role %s, other %s", kind, kind.Role(), kind.Other())
		}
	}
	f := func(words string, want string) {
		t.Helper()
		set, err := ParseTypes(strings.Split(words, ","))
		var got []string
		for kind := Type(0); kind <= 15; kind++ {
			if err == nil && set.Has(kind) {
				got = append(got, kind.String())
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s, %v, want %s", words, got, err, want)
		}
	}
	f("all", names)
	f("client,all", names)
	f("client", "CLIENT_QUERY CLIENT_RESPONSE")
	f("auth,update", "AUTH_QUERY AUTH_RESPONSE UPDATE_QUERY UPDATE_RESPONSE")
	f("Client", "")
	f("", "")
}

func TestProtocols(t *testing.T) {
	words := []string{"", "udp", "tcp", "dot", "doh", "dnscryptudp", "dnscrypttcp", "doq", "8", "9"}
	for i, word := range words {
		if p := Protocol(i).Proto(); p.String() != word || ProtocolOf(p) != Protocol(i) {
			t.Errorf("protocol %d is %q, which is %d", i, p, ProtocolOf(p))
		}
	}
	if p := Protocol(1 << 31).Proto(); p.String() != "unknown" || ProtocolOf(p) != 0 {
		t.Errorf("a large number is %s", p)
	}
}

// TestPolicy: each match keeps with masks what it may.
func TestPolicy(t *testing.T) {
	for match, keeps := range map[Match]bool{0: false, MatchQName: true, MatchClientIP: false, MatchResponseIP: true, MatchNSName: true, MatchNSIP: false, 6: false} {
		p := Policy{Type: []byte("RPZ"), Rule: []byte("rule"), Action: 2, Match: match, Value: []byte("value")}
		var back Policy
		if !back.Parse(p.Append(nil)) || string(back.Append(nil)) != string(p.Append(nil)) || string(back.Rule) != "rule" || back.Match != match {
			t.Errorf("%s: %+v became %+v", match, p, back)
		}
		back.Mask()
		if (back.Rule != nil) != keeps || (back.Value != nil) != keeps || string(back.Type) != "RPZ" || back.Action != 2 || back.Match != match {
			t.Errorf("%s with masks: %+v", match, back)
		}
	}
	var p Policy
	if data := bytesField(1, "RPZ") + varint(3, 6); !p.Parse([]byte(data+varint(1, 1)+bytesField(4, "x")+group(9, ""))) || string(p.Type) != "RPZ" || p.Action.String() != "LOCAL_DATA" || p.Match != 0 {
		t.Errorf("%+v", p)
	} else if p.Parse([]byte(data+"\xff")) || string(p.Type) != "RPZ" {
		t.Errorf("broken: %+v", p)
	}
	if got := fmt.Sprintln(Action(1), Action(6), Action(7), Match(1), Match(5), Match(6), HTTPName(1), HTTPName(3), HTTPName(4)); got != "NXDOMAIN LOCAL_DATA 7 QNAME NS_IP 6 HTTP1 HTTP3 4\n" {
		t.Error(got)
	}
}

// TestNoFrame: an event that came in no frame has no payload.
func TestNoFrame(t *testing.T) {
	dst := []byte("before")
	if got, ok := AppendPayload(dst, &event.Event{Message: []byte(askedWire)}); ok || !bytes.Equal(got, dst) {
		t.Errorf("%q, %v", got, ok)
	}
}

func TestAllocatesNothing(t *testing.T) {
	frame := full()
	data, _, _ := frame.Append(nil)
	var f Frame
	var m packet.Message
	var e event.Event
	var p Policy
	buf, fields, policy := make([]byte, 0, 1024), make(event.Fields, 0, 1024), make([]byte, 0, 256)
	if n := testing.AllocsPerRun(1000, func() {
		f.Parse(data)
		f.Fill(&m)
		fields = f.AppendFields(fields[:0], data)
		e.Message, e.Fields = m.Data, fields
		buf, _ = AppendPayload(buf[:0], &e)
		f.Swap()
		buf, _, _ = f.Append(buf[:0])
		p.Parse(f.Policy)
		policy = p.Append(policy[:0])
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
