//go:build linux

// Package chdb calls libchdb.so, which is ClickHouse as a library. It needs no C compiler.
package chdb

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Engine is the library with one folder of data open. Its methods may be called from any
// goroutine; the engine runs one call at a time.
type Engine struct {
	l       library
	conn    uintptr
	pointer uintptr // to conn
	jobs    chan func()
}

type library struct {
	connect       func(argc int32, argv unsafe.Pointer) uintptr
	disconnect    func(pointer uintptr)
	query         func(conn uintptr, q unsafe.Pointer, qn uintptr, format unsafe.Pointer, fn uintptr) uintptr
	destroy       func(result uintptr)
	buffer        func(result uintptr) uintptr
	length        func(result uintptr) uintptr
	failure       func(result uintptr) string
	signals       func(on int32)
	insert        func(conn uintptr, q unsafe.Pointer, qn uintptr, format unsafe.Pointer, fn uintptr) uintptr
	insertAppend  func(stream uintptr, data unsafe.Pointer, n uintptr) int32
	insertDone    func(stream uintptr) uintptr
	insertFailure func(stream uintptr) string
	insertCancel  func(stream uintptr)
	insertDestroy func(stream uintptr)
	selectStart   func(conn uintptr, q unsafe.Pointer, qn uintptr, format unsafe.Pointer, fn uintptr) uintptr
	selectFetch   func(conn, result uintptr) uintptr
	selectCancel  func(conn, result uintptr)
}

// Open loads the library, and opens a folder of data, which it makes if need be. A
// process can do this once.
func Open(path, folder string) (*Engine, error) {
	h, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	e := &Engine{jobs: make(chan func())}
	for name, f := range map[string]any{
		"chdb_connect": &e.l.connect, "chdb_close_conn": &e.l.disconnect, "chdb_query_n": &e.l.query, "chdb_destroy_query_result": &e.l.destroy,
		"chdb_result_buffer": &e.l.buffer, "chdb_result_length": &e.l.length, "chdb_result_error": &e.l.failure,
		"chdb_set_signal_handlers_enabled": &e.l.signals,
		"chdb_stream_insert_n":             &e.l.insert, "chdb_stream_append": &e.l.insertAppend, "chdb_stream_done": &e.l.insertDone,
		"chdb_stream_insert_error": &e.l.insertFailure, "chdb_stream_cancel_insert": &e.l.insertCancel, "chdb_destroy_insert_stream": &e.l.insertDestroy,
		"chdb_stream_query_n": &e.l.selectStart, "chdb_stream_fetch_result": &e.l.selectFetch, "chdb_stream_cancel_query": &e.l.selectCancel,
	} {
		purego.RegisterLibFunc(f, h, name)
	}
	go func() { // the engine keeps state in its thread
		runtime.LockOSThread()
		for job := range e.jobs {
			job()
		}
	}()
	e.do(func() {
		e.l.signals(0) // Go handles them
		args := [][]byte{[]byte("clickhouse\x00"), []byte("--path=" + folder + "\x00")}
		pointers := []*byte{&args[0][0], &args[1][0], nil}
		if e.pointer = e.l.connect(int32(len(args)), unsafe.Pointer(&pointers[0])); e.pointer != 0 {
			e.conn = *(*uintptr)(unsafe.Add(unsafe.Pointer(nil), e.pointer))
		}
		runtime.KeepAlive(args)
	})
	if e.conn == 0 {
		return nil, fmt.Errorf("open %s: the engine gives no reason; another process may use the folder", folder)
	}
	return e, nil
}

// Close closes the folder, when the engine has done what it does. Nothing else may be
// called after it.
func (e *Engine) Close() {
	e.do(func() { e.l.disconnect(e.pointer) })
}

func (e *Engine) do(job func()) {
	done := make(chan struct{})
	e.jobs <- func() {
		defer close(done)
		job()
	}
	<-done
}

// Session is the engine for the caller alone, until the function ends that got it.
type Session struct{ e *Engine }

// Use runs f while nobody else uses the engine.
func (e *Engine) Use(f func(*Session) error) (err error) {
	e.do(func() { err = f(&Session{e}) })
	return err
}

// bytesOf is a pointer to text, and how long it is. The engine accepts no nil.
func bytesOf(text []byte) (unsafe.Pointer, uintptr) {
	if len(text) == 0 {
		text = []byte{0}[:0:1]
	}
	return unsafe.Pointer(unsafe.SliceData(text)), uintptr(len(text))
}

// Query runs a query, and returns all it answers, in a format of ClickHouse.
func (s *Session) Query(sql, format string) ([]byte, error) {
	q, f := []byte(sql), []byte(format)
	qp, qn := bytesOf(q)
	fp, fn := bytesOf(f)
	r := s.e.l.query(s.e.conn, qp, qn, fp, fn)
	runtime.KeepAlive(q)
	runtime.KeepAlive(f)
	return s.e.take(r)
}

// take copies a result, and frees it.
func (e *Engine) take(result uintptr) ([]byte, error) {
	if result == 0 {
		return nil, errors.New("the engine gave no result")
	}
	defer e.l.destroy(result)
	if text := e.l.failure(result); text != "" {
		return nil, errors.New(strings.TrimSpace(text))
	}
	n := e.l.length(result)
	if n == 0 {
		return nil, nil
	}
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(nil), e.l.buffer(result))), n)...), nil
}

// Select runs a query, and passes its answer on piece by piece. An error of each ends
// the query.
func (s *Session) Select(sql, format string, each func([]byte) error) error {
	q, f := []byte(sql), []byte(format)
	qp, qn := bytesOf(q)
	fp, fn := bytesOf(f)
	e := s.e
	r := e.l.selectStart(e.conn, qp, qn, fp, fn)
	runtime.KeepAlive(q)
	runtime.KeepAlive(f)
	if r == 0 {
		return errors.New("the engine gave no result")
	}
	defer e.l.destroy(r)
	if text := e.l.failure(r); text != "" {
		return errors.New(strings.TrimSpace(text))
	}
	for {
		piece, err := e.take(e.l.selectFetch(e.conn, r))
		if err != nil {
			return err
		}
		if len(piece) == 0 {
			return nil
		}
		if err := each(piece); err != nil {
			e.l.selectCancel(e.conn, r)
			return err
		}
	}
}

// Insert runs an INSERT without its VALUES or FORMAT, with these bytes in a format.
func (s *Session) Insert(sql, format string, data []byte) error {
	q, f := []byte(sql), []byte(format)
	qp, qn := bytesOf(q)
	fp, fn := bytesOf(f)
	l := &s.e.l
	stream := l.insert(s.e.conn, qp, qn, fp, fn)
	runtime.KeepAlive(q)
	runtime.KeepAlive(f)
	if stream == 0 {
		return errors.New("the engine began no INSERT")
	}
	defer l.insertDestroy(stream)
	failed := func() error { return errors.New(strings.TrimSpace(l.insertFailure(stream))) }
	if l.insertFailure(stream) != "" {
		return failed()
	}
	p, n := bytesOf(data)
	state := l.insertAppend(stream, p, n)
	runtime.KeepAlive(data)
	if state != 0 {
		err := failed()
		l.insertCancel(stream)
		return err
	}
	_, err := s.e.take(l.insertDone(stream))
	return err
}
