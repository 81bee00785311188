package httpclient_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/httpclient"
	"dnsmonster-sensor/userspace/event"
)

// store is a complete output: its options, its row and its response.
type store struct {
	outputs.Basics
	endpoints cli.StringSlice
	config    httpclient.Config
	client    *httpclient.Client
	tune      func(*httpclient.Writer) // set by tests
}

func newStore() *store { return &store{Basics: outputs.NewBasics("store")} }

func (s *store) Flags() []cli.Flag {
	c := &s.config
	c.EndpointOption, c.ProxyOption, c.CompressionOption, c.Auth.LoginOption = "storeoutputendpoint", "storeproxy", "storecompression", "storeusername"
	return slices.Concat(
		[]cli.Flag{
			s.TypeFlag("DNSMONSTER_STOREOUTPUTTYPE", "for a store"),
			&cli.StringSliceFlag{Category: s.Section(), Name: "storeoutputendpoint", EnvVars: []string{"DNSMONSTER_STOREOUTPUTENDPOINT"}, Destination: &s.endpoints},
			httpclient.ProxyFlag(s.Section(), "DNSMONSTER_STOREPROXY", &c.Proxy),
			httpclient.CompressionFlag(s.Section(), "DNSMONSTER_STORECOMPRESSION", httpclient.Zstd, &c.Compression),
		},
		c.TLS.Flags(s.Section(), "DNSMONSTER_STORECAFILE", "DNSMONSTER_STORECERTFILE", "DNSMONSTER_STOREKEYFILE"),
		c.Auth.Login.Flags(s.Section(), "DNSMONSTER_STOREUSERNAME", "DNSMONSTER_STOREPASSWORD", "DNSMONSTER_STOREPASSWORDFILE"),
	)
}

func (s *store) Settings() (outputs.Settings, error) {
	set, err := s.Basics.Settings()
	if err != nil || s.IsOff() {
		return set, err
	}
	s.config.Endpoints, s.config.SkipVerify, s.config.Log = s.endpoints.Value(), s.Common.SkipVerify, s.Log()
	s.client, err = httpclient.New(s.config)
	return set, err
}

// Check sends an empty request to test the login.
func (s *store) Check(ctx context.Context) error {
	_, err := s.client.Send(ctx, s.client.NewRequest(http.MethodPost, ""))
	return httpclient.StartError(err)
}

func (s *store) Open(context.Context) (outputs.Writer, error) {
	w := &httpclient.Writer{Client: s.client, Request: s.client.NewLinesRequest(""), Append: line, Read: items}
	if s.tune != nil {
		s.tune(w)
	}
	return w, nil
}

func line(dst []byte, _ *event.Block, n int, e *event.Event) ([]byte, error) {
	return fmt.Appendf(dst, `{"time":%d,"dns":"%x"}`+"\n", e.Time, e.Message), nil
}

// items reads a response such as [200,200,429], one status for each row.
func items(a *httpclient.Response, rows []httpclient.Verdict) error {
	var list []int
	if err := json.Unmarshal(a.Body, &list); err != nil || len(list) != len(rows) {
		return fmt.Errorf("not %d statuses: %v", len(rows), err)
	}
	for i, status := range list {
		rows[i] = httpclient.Verdict{Outcome: httpclient.OutcomeOf(status), Why: "status " + strconv.Itoa(status)}
	}
	return nil
}

// An output over HTTP consists of its options, the row that it makes of an event, and
// what the response says about each row. The writer compresses, fails over, halves
// bodies that are too large, and sends again what was not accepted.
func Example() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rows, _ := io.ReadAll(r.Body)
		fmt.Printf("%s %s\n", r.Header.Get("Authorization"), rows)
	}))
	defer server.Close()

	client, err := httpclient.New(httpclient.Config{
		Endpoints: []string{server.URL}, EndpointOption: "storeoutputendpoint",
		Auth: httpclient.Auth{Token: "secret", TokenOption: "storetoken"},
	})
	if err != nil {
		panic(err)
	}
	w := &httpclient.Writer{Client: client, Request: client.NewLinesRequest("bulk"), Append: func(dst []byte, _ *event.Block, n int, e *event.Event) ([]byte, error) {
		return fmt.Appendf(dst, "{\"n\":%d,\"size\":%d}\n", n, len(e.Message)), nil
	}}
	_, err = w.Write(context.Background(), blockOf(2))
	fmt.Println(err)
	// Output:
	// Bearer secret {"n":0,"size":12}
	// {"n":1,"size":12}
	//
	// <nil>
}

// blockOf makes a block of events that have nothing but a header.
func blockOf(n int) *event.Block {
	b := event.NewBlock(1 << 10)
	for i := range n {
		b.Append(&event.Event{Time: int64(i), Proto: event.UDP, Message: bytes.Repeat([]byte{byte(i)}, 12)})
	}
	b.Seal(event.NewIDs().Next(), now)
	return b
}
