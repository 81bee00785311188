package framestream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	reference "github.com/farsightsec/golang-framestream"
)

const contentType = "protobuf:dnstap.Dnstap"

// received is what a Receiver makes of a stream.
type received struct {
	frames  []string
	answers string // what it sends
	rest    int    // bytes that are not read: the beginning of a frame, or after an error
	err     error
	stopped bool // at least one of the streams
	r       Receiver
}

// receive reads what of a stream is there. pieces, if not 0, is how many bytes come at a time.
func receive(t *testing.T, stream []byte, pieces int) (got received) {
	t.Helper()
	got.r.ContentType = contentType
	have, answers := stream[:0], []byte(nil)
	for next := stream; ; {
		f, n, err := Next(have, MaxFrame)
		switch {
		case errors.Is(err, ErrMore):
			if n <= len(have) {
				t.Fatalf("Next of %d bytes wants %d", len(have), n)
			}
			if len(next) == 0 {
				got.rest, got.answers = len(have), string(answers)
				return got
			}
			take := min(len(next), max(pieces, 1))
			if pieces == 0 {
				take = len(next)
			}
			have, next = have[:len(have)+take], next[take:]
			continue
		case err == nil && f.Control == Data:
			if cap(f.Data) != len(f.Data) {
				t.Fatal("the bytes of a frame reach beyond it")
			}
			if err = got.r.Data(); err == nil {
				got.frames = append(got.frames, string(f.Data))
			}
		case err == nil:
			answers, err = got.r.Control(&f, answers)
			got.stopped = got.stopped || err == nil && f.Control == Stop
		}
		if err != nil {
			got.rest, got.answers, got.err = len(have)+len(next), string(answers), err
			return got
		}
		have = have[n:]
	}
}

func control(c Control, types ...string) string {
	var b bytes.Buffer
	frame := reference.ControlFrame{ControlType: uint32(c)}
	for _, s := range types {
		frame.ContentTypes = append(frame.ContentTypes, []byte(s))
	}
	if err := frame.Encode(&b); err != nil {
		panic(err)
	}
	return b.String()
}

func data(s string) string { return string(AppendHead(nil, len(s))) + s }

var sent = []string{"one", strings.Repeat("two", 30000), "3"}

// written is what golang-framestream's writer sends to a receiver that answers.
func written(t *testing.T, bidirectional bool) []byte {
	t.Helper()
	var out bytes.Buffer
	peer := struct {
		io.Reader
		io.Writer
	}{strings.NewReader(control(Accept, contentType) + control(Finish)), &out}
	w, err := reference.NewWriter(peer, &reference.WriterOptions{ContentTypes: [][]byte{[]byte(contentType)}, Bidirectional: bidirectional})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sent {
		if _, err := w.WriteFrame([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestReadsReference: what golang-framestream writes is read, in pieces of any size, and
// answered as its reader answers.
func TestReadsReference(t *testing.T) {
	for _, bidirectional := range []bool{false, true} {
		stream, answers := written(t, bidirectional), ""
		if bidirectional {
			answers = control(Accept, contentType) + control(Finish)
		}
		for _, pieces := range []int{0, 1, 2, 3, 5, 7, 64, 4096} {
			got := receive(t, stream, pieces)
			if got.err != nil || got.rest != 0 || !slices.Equal(got.frames, sent) || got.answers != answers || !got.stopped || got.r.Started() {
				t.Errorf("%d bytes at a time: %d frames, %d bytes left, answers %x, error %v, %+v", pieces, len(got.frames), got.rest, got.answers, got.err, got.r)
			}
		}
	}
}

// TestEveryCut: a stream that ends anywhere gives the frames that are whole, and is known to
// be unfinished.
func TestEveryCut(t *testing.T) {
	stream := control(Ready, "x", contentType) + control(Start, contentType) + data("one") + data("two") + control(Stop)
	whole := []int{0, len(control(Ready, "x", contentType)), len(control(Ready, "x", contentType) + control(Start, contentType))}
	whole = append(whole, whole[2]+len(data("one")), whole[2]+2*len(data("one")), len(stream))
	for n := range len(stream) + 1 {
		got, last := receive(t, []byte(stream[:n]), 0), 0
		for i, at := range whole {
			if at <= n {
				last = i
			}
		}
		if got.err != nil || got.rest != n-whole[last] || len(got.frames) != min(max(last-2, 0), 2) || got.r.Started() != (last >= 2 && last < 5) || got.stopped != (last == 5) {
			t.Errorf("the first %d bytes: %d frames, %d bytes left, error %v, %+v", n, len(got.frames), got.rest, got.err, got.r)
		}
	}
}

// TestWritesForReference: golang-framestream reads what this package writes.
func TestWritesForReference(t *testing.T) {
	stream := AppendControl(AppendControl(nil, Ready, contentType), Start, contentType)
	for _, s := range sent {
		stream = append(AppendHead(stream, len(s)), s...)
	}
	stream = AppendControl(stream, Stop, "")
	var answers bytes.Buffer
	peer := struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(stream), &answers}
	r, err := reference.NewReader(peer, &reference.ReaderOptions{ContentTypes: [][]byte{[]byte(contentType)}, Bidirectional: true})
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, MaxFrame)
	for _, s := range sent {
		if n, err := r.ReadFrame(buf); err != nil || string(buf[:n]) != s {
			t.Fatalf("%d bytes, %v, want %d", n, err, len(s))
		}
	}
	if _, err := r.ReadFrame(buf); err != reference.EOF {
		t.Errorf("at the end: %v", err)
	}
	if want := AppendControl(AppendControl(nil, Accept, contentType), Finish, ""); answers.String() != string(want) {
		t.Errorf("its answers are %x, ours are %x", answers.Bytes(), want)
	}
}

// TestBounds: frames that are too long are an error as soon as their length is there.
func TestBounds(t *testing.T) {
	f := func(what, b string, max, wantN int, want error) {
		t.Helper()
		if _, n, err := Next([]byte(b), max); n != wantN || err != want {
			t.Errorf("%s: %d, %v, want %d, %v", what, n, err, wantN, want)
		}
	}
	f("nothing", "", 10, 4, ErrMore)
	f("a part of the length", "\x00\x00\x00", 10, 4, ErrMore)
	f("as long as allowed", "\x00\x00\x00\x0a", 10, 14, ErrMore)
	f("a byte longer", "\x00\x00\x00\x0b", 10, 0, ErrTooLong)
	f("4 GiB", "\xff\xff\xff\xff", MaxFrame, 0, ErrTooLong)
	f("whole", "\x00\x00\x00\x01xy", 10, 5, nil)
	f("an escape", "\x00\x00\x00\x00", 10, 8, ErrMore)
	f("an empty control frame", "\x00\x00\x00\x00\x00\x00\x00\x00", 10, 0, ErrControl)
	f("a control frame without a whole type", "\x00\x00\x00\x00\x00\x00\x00\x03", 10, 0, ErrControl)
	f("the longest control frame", "\x00\x00\x00\x00\x00\x00\x02\x00", 10, 8+512, ErrMore)
	f("a longer one", "\x00\x00\x00\x00\x00\x00\x02\x01", MaxFrame, 0, ErrControl)
	f("one of 4 GiB", "\x00\x00\x00\x00\xff\xff\xff\xff", MaxFrame, 0, ErrControl)
	f("the shortest one", "\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x03more", 10, 12, nil)
	f("one of type 0, which is none", "\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00", 10, 0, ErrControl)
	if n := Length([]byte("\x16\x03\x01\x00")); n != 0x16030100 {
		t.Errorf("Length is %x", n)
	}
}

// TestAllows: which content types of a control frame are accepted.
func TestAllows(t *testing.T) {
	field := func(kind, length uint32, value string) string {
		return string(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, kind), length)) + value
	}
	f := func(what, fields string, want bool, named int, wantErr error) {
		t.Helper()
		ok, names, err := (&Frame{Control: Start, Data: []byte(fields)}).Allows(contentType)
		if ok != want || len(names) != named || err != wantErr {
			t.Errorf("%s: %v, %q, %v", what, ok, names, err)
		}
	}
	own, other := field(1, uint32(len(contentType)), contentType), field(1, 1, "x")
	f("none", "", true, 0, nil)
	f("ours", own, true, 0, nil)
	f("another", other, false, 1, nil)
	f("ours among others", other+own+other, true, 2, nil)
	f("an empty one", field(1, 0, ""), false, 1, nil)
	f("an unknown field", field(7, 1, "x"), true, 0, nil)
	f("an unknown field before ours", field(7, 1, "x")+own, true, 0, nil)
	f("a field that ends too early", own[:len(own)-1], false, 0, ErrControl)
	f("half a field's head", own+"\x00\x00\x00\x01", false, 0, ErrControl)
	f("a field of 4 GiB", field(1, 1<<32-1, "x"), false, 0, ErrControl)
	f("the longest name", field(1, 256, strings.Repeat("x", 256)), false, 1, nil)
	f("a longer name", field(1, 257, strings.Repeat("x", 257)), false, 0, ErrControl)
}

// TestReceiver: each order of frames, with the answers.
func TestReceiver(t *testing.T) {
	ready, start, stop := control(Ready, contentType), control(Start, contentType), control(Stop)
	accept, finish := control(Accept, contentType), control(Finish)
	f := func(what, stream, frames, answers, wantErr string) {
		t.Helper()
		got := receive(t, []byte(stream), 0)
		text := ""
		if got.err != nil {
			text = got.err.Error()
		}
		if strings.Join(got.frames, "") != frames || got.answers != answers || text != wantErr || wantErr == "" && got.rest != 0 {
			t.Errorf("%s: frames %q, answers %x, error %v", what, got.frames, got.answers, got.err)
		}
	}
	f("both directions", ready+start+data("a")+stop, "a", accept+finish, "")
	f("one direction", start+data("a")+stop, "a", "", "")
	f("no content type", control(Ready)+control(Start)+data("a")+stop, "a", accept+finish, "")
	f("a stream after the first", ready+start+data("a")+stop+ready+start+data("b")+stop, "ab", accept+finish+accept+finish, "")
	f("files one after the other", start+data("a")+stop+start+data("b")+stop, "ab", "", "")
	f("STOP instead of START", ready+stop, "", accept+finish, "")
	f("data at once", data("a"), "", "", "unexpected data frame: READY must come")
	f("data before START", ready+data("a"), "", accept, "unexpected data frame: START must come")
	f("data after STOP", start+stop+data("a"), "", "", "unexpected data frame: READY must come")
	f("two READY", ready+ready, "", accept, "unexpected READY frame: START must come")
	f("READY in a stream", start+ready, "", "", "unexpected READY frame: STOP must come")
	f("two START", start+start, "", "", "unexpected START frame: STOP must come")
	f("STOP at once", stop, "", "", "unexpected STOP frame: READY must come")
	f("two STOP", start+stop+stop, "", "", "unexpected STOP frame: READY must come")
	f("the receiver's own ACCEPT", accept, "", "", "unexpected ACCEPT frame: READY must come")
	f("the receiver's own FINISH", start+finish, "", "", "unexpected FINISH frame: STOP must come")
	f("an unknown control frame", ready+control(9), "", accept, "unexpected control type 9 frame: START must come")
	f("another content type", control(Ready, "a\x1b"), "", "", `the sender offers content type ["a\x1b"], not protobuf:dnstap.Dnstap`)
	f("another content type in START", ready+control(Start, "x", "y"), "", accept, `the sender offers content type ["x" "y"], not protobuf:dnstap.Dnstap`)
	f("a broken READY", "\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x04x", "", "", ErrControl.Error())
}

func TestAllocatesNothing(t *testing.T) {
	stream := []byte(data("one") + control(Stop))
	buf := make([]byte, 0, 128)
	if n := testing.AllocsPerRun(1000, func() {
		r := Receiver{ContentType: contentType, started: true, bidirectional: true}
		f, n, _ := Next(stream, MaxFrame)
		if r.Data() != nil {
			t.Fatal("no data")
		}
		f, _, _ = Next(stream[n:], MaxFrame)
		buf, _ = r.Control(&f, buf[:0])
		buf = AppendHead(buf, 5)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// FuzzNext: no panic, whatever comes; a stream in single bytes gives what it gives as a whole;
// golang-framestream reads the same frames.
func FuzzNext(f *testing.F) {
	f.Add([]byte(control(Ready, contentType) + control(Start, contentType) + data("one") + data("two") + control(Stop)))
	f.Add([]byte(control(Start) + data("one") + control(9) + control(Stop) + control(Start, "x")))
	f.Add([]byte(control(Start) + control(Stop) + control(Start) + data("one")))
	f.Add([]byte(control(Start) + control(0)))
	f.Add([]byte("\x00\x00\x00\x00\xff\xff\xff\xff"))
	f.Add([]byte("\x16\x03\x01\x02\x00\x01\x00"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		got, slow := receive(t, stream, 0), receive(t, bytes.Clone(stream), 1)
		if !slices.Equal(got.frames, slow.frames) || got.answers != slow.answers || (got.err == nil) != (slow.err == nil) || got.err == nil && got.rest != slow.rest {
			t.Fatalf("at once %+v, byte by byte %+v", got, slow)
		}
		if got.err == nil {
			compareReader(t, stream, got)
		}
	})
}

// compareReader compares with golang-framestream's reader of one stream.
func compareReader(t *testing.T, stream []byte, got received) {
	bidirectional := len(stream) >= 12 && Control(binary.BigEndian.Uint32(stream[8:])) == Ready
	var answers bytes.Buffer
	peer := struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(stream), &answers}
	r, err := reference.NewReader(peer, &reference.ReaderOptions{ContentTypes: [][]byte{[]byte(contentType)}, Bidirectional: bidirectional})
	if err != nil {
		return // it refuses fields that it does not know
	}
	buf := make([]byte, MaxFrame)
	for i := 0; ; i++ {
		n, err := r.ReadFrame(buf)
		if err != nil {
			if !got.stopped && i != len(got.frames) {
				t.Fatalf("golang-framestream reads %d frames, and then %v, not %d", i, err, len(got.frames))
			}
			return
		}
		if i >= len(got.frames) || string(buf[:n]) != got.frames[i] {
			t.Fatalf("golang-framestream reads %q as frame %d, want those of %q", buf[:n], i, got.frames)
		}
	}
}
