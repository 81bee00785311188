// Package httpclient is the one HTTP client of outputs and of lists by URL. It
// knows addresses with their health, certificates, proxies, logins, compressed
// bodies, bounded answers, and what a status means for the records that were sent.
// An output adds its body, its answer and its options. Its texts hold no secrets:
// no user information of URLs, no password, no token.
//
// It must not import sensor, nor an output. Tests run against net/http's server,
// and a CONNECT proxy of their own.
package httpclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/endpoint"
	"dnsmonster-sensor/outputs/secure"
)

// Config says where a client sends, and how. The zero value of a field, except of
// Endpoints, is what most destinations need.
type Config struct {
	Log *slog.Logger // nil: nothing is logged

	// Endpoints are URLs of the same destination, the preferred one first.
	Endpoints      []string
	EndpointOption string // by which they were given, for messages; "": a URL that its user knows

	TLS        secure.TLS
	SkipVerify bool // certificates are not checked: --skiptlsverification

	// Proxy is a URL, or "none". Empty: what HTTP_PROXY, HTTPS_PROXY and NO_PROXY
	// say. A proxy that is named here takes everything, loopback too.
	Proxy       string
	ProxyOption string

	Auth Auth

	Compression       string // of bodies: none (as is ""), gzip or zstd
	CompressionOption string

	Statuses  map[int]Outcome // of this destination, where they differ from OutcomeOf
	MaxAnswer int64           // bytes of an answer, unpacked; 0: 1 MiB

	DisableKeepAlives bool // the next request is far away: no connection is kept
}

const (
	defaultAnswer = 1 << 20
	// longestError is how much of an error's answer is read; shownError of it is shown.
	longestError, shownError = 4 << 10, 300
	dialTimeout              = 10 * time.Second
	// idleTimeout is shorter than that of servers, which commonly is a minute.
	idleTimeout = 30 * time.Second
	// idleEach bounds the connections to one address that wait for their next
	// request: more than workers that anybody has.
	idleEach = 64
	// silence is how long an HTTP/2 connection may say nothing before it is asked,
	// and how long it may take to answer that.
	silence = 10 * time.Second
)

// Client sends requests to one destination. Any number of goroutines may use it,
// each with requests of its own.
type Client struct {
	config    Config
	addresses *outputs.Addresses
	places    []place // one for each address
	at        secure.OptionNames
	options   bool // there are some for certificates
	http      *http.Client
	secrets   []string // that no text may hold, the longest first
	warned    atomic.Bool
}

// place is one address.
type place struct {
	name string // what is shown: no user, no query
	url  url.URL
	auth authorization
}

// New checks the configuration, and opens nothing but the files of certificates.
// Its error has a line for each option that is wrong, which begins with its name.
func New(config Config) (*Client, error) {
	config.MaxAnswer = cmp.Or(config.MaxAnswer, defaultAnswer)
	c := &Client{config: config, at: config.TLS.OptionNames(config.EndpointOption)}
	c.options = c.at.CA != new(secure.TLS).OptionNames("").CA
	if config.EndpointOption == "" {
		c.at.Server = "its URL"
	}
	proxy, proxyErr := proxyOf(config.Proxy)
	trust, err := trustOf(&config)
	err = errors.Join(
		of(config.EndpointOption, c.readEndpoints()), config.Auth.check(), c.authorize(),
		of(config.CompressionOption, checkCompression(config.Compression)), of(config.ProxyOption, proxyErr), err)
	if err != nil {
		return nil, err
	}
	c.collectSecrets()
	names := make([]string, len(c.places))
	for i := range c.places {
		names[i] = c.places[i].name
	}
	c.addresses = outputs.NewAddresses(cmp.Or(config.Log, slog.New(slog.DiscardHandler)), names...)
	c.http = &http.Client{
		CheckRedirect: c.redirect,
		Transport: &http.Transport{
			Proxy:                  proxy,
			DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSClientConfig:        trust,
			TLSHandshakeTimeout:    dialTimeout,
			ForceAttemptHTTP2:      true,
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: silence, PingTimeout: silence},
			MaxIdleConns:           idleEach * len(names),
			MaxIdleConnsPerHost:    idleEach,
			IdleConnTimeout:        idleTimeout,
			MaxResponseHeaderBytes: 64 << 10,
			DisableKeepAlives:      config.DisableKeepAlives,
			OnProxyConnectResponse: c.proxyAnswered,
		},
	}
	return c, nil
}

// of begins an error with its option.
func of(option string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", option, err)
}

// authorize finds who asks at each address.
func (c *Client) authorize() error {
	for i := range c.places {
		p := &c.places[i]
		user := p.url.User
		p.url.User = nil
		if user != nil && c.config.Auth.given() {
			return fmt.Errorf("%s: it has a user and so has %s: leave one of the two out", c.config.EndpointOption, c.config.Auth.option())
		}
		p.auth = c.config.Auth.authorization(user)
	}
	return nil
}

// readEndpoints checks the addresses' form. Its errors hold nothing of them.
func (c *Client) readEndpoints() error {
	if len(c.config.Endpoints) == 0 {
		return errors.New("set it, such as https://host.example.org:8080")
	}
	for i, text := range c.config.Endpoints {
		u, err := endpoint.URL(strings.TrimSpace(text))
		switch {
		case err != nil:
		case u.Scheme != "http" && u.Scheme != "https":
			err = errors.New("use an http:// or https:// URL")
		case u.Hostname() == "":
			err = errors.New("the URL names no host")
		}
		if err != nil && len(c.config.Endpoints) > 1 {
			err = fmt.Errorf("number %d of them: %w", i+1, err)
		}
		if err != nil {
			return err
		}
		name := u.Scheme + "://" + u.Host + strings.TrimSuffix(u.EscapedPath(), "/")
		if slices.ContainsFunc(c.places, func(p place) bool { return p.name == name }) {
			return fmt.Errorf("%s is there twice", name)
		}
		c.places = append(c.places, place{name: name, url: *u})
	}
	return nil
}

// trustOf reads the files of certificates. Our own is read again for each
// connection: a new one counts without a restart.
func trustOf(config *Config) (*tls.Config, error) {
	trust, err := config.TLS.Config("", config.SkipVerify)
	if err != nil || config.TLS.CertFile == "" {
		return trust, err
	}
	files := config.TLS
	files.CAFile = "" // whom we trust is read once
	trust.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		now, err := files.Config("", false)
		if err != nil {
			return nil, err
		}
		return &now.Certificates[0], nil
	}
	return trust, nil
}

// Addresses are the endpoints with what is known of their health.
func (c *Client) Addresses() *outputs.Addresses { return c.addresses }

// Close gives back the connections that no request uses. The client stays usable.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// redirect leads only requests without a body elsewhere, and credentials to no
// other host.
func (c *Client) redirect(to *http.Request, via []*http.Request) error {
	first, last := via[0], via[len(via)-1]
	switch {
	case first.Method != http.MethodGet && first.Method != http.MethodHead:
		if to.Body != nil { // made for a request that nobody makes
			to.Body.Close()
		}
		return http.ErrUseLastResponse
	case len(via) >= 10:
		return errors.New("stopped after 10 redirects")
	case to.URL.Scheme != "https" && last.URL.Scheme == "https":
		return errors.New("redirected from https to http")
	}
	to.Header.Del("Referer") // its query may hold a token
	if to.URL.Host == first.URL.Host {
		return nil
	}
	if c.config.Auth.Func != nil { // nobody knows what it has added
		return http.ErrUseLastResponse
	}
	for i := range c.places {
		to.Header.Del(c.places[i].auth.header)
	}
	to.Header.Del("Authorization")
	return nil
}

// do makes one request at one address. The caller closes the answer's body; an
// error is an *Error.
func (c *Client) do(ctx context.Context, at int, r *Request) (*http.Response, error) {
	p := &c.places[at]
	q, err := http.NewRequestWithContext(ctx, r.method, p.join(r.path), nil)
	if err != nil {
		return nil, &Error{Outcome: Wrong, text: "this is no URL"} // the library's words hold it
	}
	for name, values := range r.Header {
		q.Header[name] = values
	}
	q.Header.Set("User-Agent", "dnsmonster-sensor")
	if r.coding != "" {
		q.Header.Set("Content-Encoding", r.coding)
	}
	p.auth.set(q.Header)
	c.warnOfPlainText(p)
	if f := c.config.Auth.Func; f != nil {
		if err := f(ctx, q); err != nil {
			return nil, c.failed(ctx, err)
		}
	}
	r.attach(q)
	answer, err := c.http.Do(q)
	if err != nil {
		return nil, c.failed(ctx, err)
	}
	if answer.StatusCode == http.StatusSwitchingProtocols {
		// Nobody has asked for that. The connection would be ours from here on, and
		// no context ends what is read of it.
		answer.Body.Close()
		answer.Body = http.NoBody
	}
	return answer, nil
}

// warnOfPlainText says once that others on the network can read who asks.
func (c *Client) warnOfPlainText(p *place) {
	host := p.url.Hostname()
	if p.url.Scheme == "https" || host == "localhost" || net.ParseIP(host).IsLoopback() || p.auth.header == "" && c.config.Auth.Func == nil {
		return
	}
	if c.config.Log != nil && c.warned.CompareAndSwap(false, true) {
		c.config.Log.Warn("the password or token goes over the network in the clear: use https:// in "+c.at.Server, "address", p.name)
	}
}

// join puts a request's path behind the address's own, and one query behind the
// other.
func (p *place) join(path string) string {
	u := &p.url
	path, query, _ := strings.Cut(path, "?")
	if path != "" {
		u = u.JoinPath(path)
	}
	text := u.String()
	switch {
	case query == "":
	case u.RawQuery == "":
		text += "?" + query
	default:
		text += "&" + query
	}
	return text
}

// Stream sends a request to the address whose turn it is and returns the answer,
// whatever its status, without reading it: for bodies that are too large for
// memory. ctx bounds that, too; the caller closes the body.
func (c *Client) Stream(ctx context.Context, r *Request) (*http.Response, error) {
	at := c.addresses.Next()
	answer, err := c.do(ctx, at.Index, r)
	c.report(ctx, at, err)
	return answer, err
}

// report tells the addresses what an attempt says of one of them.
func (c *Client) report(ctx context.Context, at outputs.Address, err error) {
	switch {
	case err == nil, errors.Is(err, outputs.ErrPermanent):
		c.addresses.Good(at)
	case !errors.Is(ctx.Err(), context.Canceled): // a stop says nothing of the address
		c.addresses.Bad(at, err)
	}
}
