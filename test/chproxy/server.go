//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"dnsmonster-sensor/test/chdb"
	"dnsmonster-sensor/test/chproxy/fault"

	"github.com/ClickHouse/ch-go/proto"
)

type server struct {
	options
	engine *chdb.Engine

	mu          sync.Mutex
	connections int
	faults      []*fault.Fault
	changed     chan struct{} // closed when there are other faults
	inserts     []fault.Insert
	database    string // of the engine's session; only inside engine.Use
}

// use runs f with a database and settings, while nobody else uses the engine.
func (s *server) use(database string, settings []proto.Setting, f func(*chdb.Session) error) error {
	return s.engine.Use(func(e *chdb.Session) error {
		if database == "" {
			database = "default"
		}
		if database != s.database {
			if _, err := e.Query("USE "+backquote(database), "Null"); err != nil {
				return err
			}
			s.database = database
		}
		restore, err := set(e, settings)
		defer restore()
		if err != nil {
			return err
		}
		return f(e)
	})
}

// set makes settings hold until restore is called. As a server does, it ignores those
// that it does not know, unless they are marked as important.
func set(e *chdb.Session, settings []proto.Setting) (restore func(), err error) {
	var was []string
	restore = func() {
		if len(was) > 0 {
			e.Query("SET "+strings.Join(was, ", "), "Null")
		}
	}
	for _, st := range settings {
		_, err := e.Query("SET "+backquote(st.Key)+" = "+quote(st.Value), "Null")
		if err != nil && (st.Important || asException(err).code != proto.ErrUnknownSetting) {
			return restore, err
		}
		if err == nil {
			was = append(was, backquote(st.Key)+" = DEFAULT")
		}
	}
	return restore, nil
}

func quote(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'" }
func backquote(s string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(s) + "`"
}

var engineError = regexp.MustCompile(`(?s)^Code: (\d+)\. (?:DB::Exception: )?(.*?)(?: \([A-Z0-9_]+\))?(?: \(version [^)]*\))?\.?$`)

// exception is an error as a server sends it.
type exception struct {
	code proto.Error
	text string
}

func (e *exception) Error() string { return fmt.Sprintf("code %d: %s", e.code, e.text) }

func (e *exception) encode(b *proto.Buffer, revision int) {
	proto.ServerCodeException.Encode(b)
	(&proto.Exception{Code: e.code, Name: "DB::Exception", Message: "DB::Exception: " + e.text}).EncodeAware(b, revision)
}

// asException finds the code of an error of the engine.
func asException(err error) *exception {
	if e := (*exception)(nil); errors.As(err, &e) {
		return e
	}
	if m := engineError.FindStringSubmatch(err.Error()); m != nil {
		code, _ := strconv.Atoi(m[1])
		return &exception{proto.Error(code), m[2]}
	}
	const unknown = 1002
	return &exception{unknown, err.Error()}
}

// login checks a user's password.
func (s *server) login(user, password string) error {
	if want, known := s.users[user]; known && want == password {
		return nil
	}
	return &exception{proto.ErrAuthenticationFailed, user + ": Authentication failed: password is incorrect, or there is no user with such name."}
}

// fault takes the first fault for a query. data: an INSERT that brings data.
func (s *server) fault(sql string, data bool) *fault.Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.Query == "" && !data || f.Query != "" && !regexp.MustCompile(f.Query).MatchString(sql) {
			continue
		}
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
			}
		}
		return f
	}
	return nil
}

func (s *server) note(i fault.Insert) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inserts = append(s.inserts, i)
}

// handler answers queries at /, as ClickHouse's own HTTP interface does. /fault takes the
// faults from now on; /inserts has the INSERTs since it was asked before.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "Ok.\n") })
	mux.HandleFunc("POST /fault", func(w http.ResponseWriter, r *http.Request) {
		var list []*fault.Fault
		err := json.NewDecoder(r.Body).Decode(&list)
		for _, f := range list {
			_, bad := regexp.Compile(f.Query)
			err = errors.Join(err, bad)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.faults = list
		if s.changed != nil {
			close(s.changed)
		}
		s.changed = make(chan struct{})
	})
	mux.HandleFunc("GET /inserts", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		list := s.inserts
		s.inserts = nil
		s.mu.Unlock()
		json.NewEncoder(w).Encode(list)
	})
	mux.HandleFunc("/", s.httpQuery)
	return mux
}

func (s *server) httpQuery(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	if user == "" {
		user, password = "default", r.Header.Get("X-ClickHouse-Key")
		if u := r.Header.Get("X-ClickHouse-User"); u != "" {
			user = u
		}
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = s.login(user, password)
	}
	var answer []byte
	if err == nil {
		format := r.FormValue("default_format")
		if format == "" {
			format = "TabSeparated"
		}
		err = s.use(r.FormValue("database"), nil, func(e *chdb.Session) (err error) {
			answer, err = e.Query(r.URL.Query().Get("query")+string(body), format)
			return err
		})
	}
	if err != nil {
		e := asException(err)
		w.Header().Set("X-ClickHouse-Exception-Code", strconv.Itoa(int(e.code)))
		http.Error(w, fmt.Sprintf("Code: %d. DB::Exception: %s", e.code, e.text), http.StatusInternalServerError)
		return
	}
	w.Write(answer)
}
