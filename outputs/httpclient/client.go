// Package httpclient is the HTTP client of outputs and of lists by URL. It knows
// addresses and their health, certificates, proxies, logins, compressed bodies,
// bounded responses, and what a status means for the records that were sent. An output
// adds its body, the meaning of its response, and its options. No text contains a
// secret: no user information of URLs, no password, no token.
//
// It must not import sensor or an output. Its tests use net/http's server and a
// CONNECT proxy of their own.
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
	"sync"
	"sync/atomic"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/endpoint"
	"dnsmonster-sensor/outputs/secure"
)

// Config says where and how a client sends. The zero value of each field except
// Endpoints suits most destinations.
type Config struct {
	Log *slog.Logger // nil: nothing is logged

	// Endpoints are URLs of the same destination, the preferred one first.
	Endpoints      []string
	EndpointOption string // their option, for messages; "": the user gave a single URL

	TLS        secure.TLS
	SkipVerify bool // certificates are not checked: --skiptlsverification

	// Proxy is a URL, or "none". Empty: HTTP_PROXY, HTTPS_PROXY and NO_PROXY decide. A
	// proxy that is set here takes all requests, even to loopback.
	Proxy       string
	ProxyOption string

	Auth Auth

	Compression       string // of bodies: "" or none, gzip, zstd
	CompressionOption string

	Statuses    map[int]Outcome // outcomes of statuses that differ from OutcomeOf
	MaxResponse int64           // bytes, uncompressed; 0: 1 MiB

	DisableKeepAlives bool // for a client whose next request is far away
}

const (
	defaultMaxResponse = 1 << 20
	// maxErrorBody bounds what is read of an error response; maxErrorShown bounds what
	// is shown of it.
	maxErrorBody, maxErrorShown = 4 << 10, 300
	dialTimeout                 = 10 * time.Second
	// idleTimeout is shorter than that of servers, which commonly is a minute.
	idleTimeout = 30 * time.Second
	// maxIdlePerRemote bounds idle connections to one address. It exceeds any number
	// of workers in use.
	maxIdlePerRemote = 64
	// pingTimeout is how long an HTTP/2 connection may be idle before it is pinged,
	// and how long the answer to the ping may take.
	pingTimeout = 10 * time.Second
)

// Client sends requests to one destination. It is safe for concurrent use; a Request
// is not.
type Client struct {
	config      Config
	addresses   *outputs.Addresses
	remotes     []remote // by Address.Index
	optionNames secure.OptionNames
	http        *http.Client
	secrets     []string // no text may contain them; the longest first
	warned      atomic.Bool
	sending     sync.RWMutex // read-locked during each attempt of Send
}

// remote is one address of the destination.
type remote struct {
	name string // for messages: without user and query
	url  url.URL
	auth authorization
}

// New checks the configuration and reads the files of certificates, and opens nothing
// else. Its error has a line for each option that is wrong, which begins with the
// option's name.
func New(config Config) (*Client, error) {
	config.MaxResponse = cmp.Or(config.MaxResponse, defaultMaxResponse)
	c := &Client{config: config, optionNames: config.TLS.OptionNames(config.EndpointOption)}
	if config.EndpointOption == "" {
		c.optionNames.Server = "its URL"
	}
	proxy, proxyErr := parseProxy(config.Proxy)
	tlsConf, err := tlsConfig(&config)
	err = errors.Join(
		optionError(config.EndpointOption, c.parseEndpoints()), config.Auth.check(), c.setAuthorizations(),
		optionError(config.CompressionOption, checkCompression(config.Compression)), optionError(config.ProxyOption, proxyErr), err)
	if err != nil {
		return nil, err
	}
	c.collectSecrets()
	names := make([]string, len(c.remotes))
	for i := range c.remotes {
		names[i] = c.remotes[i].name
	}
	c.addresses = outputs.NewAddresses(cmp.Or(config.Log, slog.New(slog.DiscardHandler)), names...)
	c.http = &http.Client{
		CheckRedirect: c.redirect,
		Transport: &http.Transport{
			Proxy:                  proxy,
			DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSClientConfig:        tlsConf,
			TLSHandshakeTimeout:    dialTimeout,
			ForceAttemptHTTP2:      true,
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingTimeout, PingTimeout: pingTimeout},
			MaxIdleConns:           maxIdlePerRemote * len(names),
			MaxIdleConnsPerHost:    maxIdlePerRemote,
			IdleConnTimeout:        idleTimeout,
			MaxResponseHeaderBytes: 64 << 10,
			DisableKeepAlives:      config.DisableKeepAlives,
			OnProxyConnectResponse: c.checkProxyResponse,
		},
	}
	return c, nil
}

// optionError prefixes an error with its option.
func optionError(option string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", option, err)
}

// setAuthorizations sets how requests to each address authenticate.
func (c *Client) setAuthorizations() error {
	for i := range c.remotes {
		to := &c.remotes[i]
		user := to.url.User
		to.url.User = nil
		if user != nil && c.config.Auth.isSet() {
			return fmt.Errorf("%s: it contains a user, and %s is set as well: leave one of the two out", c.config.EndpointOption, c.config.Auth.optionName())
		}
		to.auth = c.config.Auth.authorizationFor(user)
	}
	return nil
}

// parseEndpoints checks the form of the endpoints. Its errors contain no part of them.
func (c *Client) parseEndpoints() error {
	if len(c.config.Endpoints) == 0 {
		return errors.New("not set: use a URL such as https://host.example.org:8080")
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
			err = fmt.Errorf("number %d: %w", i+1, err)
		}
		if err != nil {
			return err
		}
		name := u.Scheme + "://" + u.Host + strings.TrimSuffix(u.EscapedPath(), "/")
		if slices.ContainsFunc(c.remotes, func(p remote) bool { return p.name == name }) {
			return fmt.Errorf("%s is listed twice", name)
		}
		c.remotes = append(c.remotes, remote{name: name, url: *u})
	}
	return nil
}

// tlsConfig reads the files of certificates. Our own certificate is read again for
// each connection, so that a renewed one is used without a restart.
func tlsConfig(config *Config) (*tls.Config, error) {
	conf, err := config.TLS.Config("", config.SkipVerify)
	if err != nil || config.TLS.CertFile == "" {
		return conf, err
	}
	files := config.TLS
	files.CAFile = "" // the authorities are read once
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		now, err := files.Config("", false)
		if err != nil {
			return nil, err
		}
		return &now.Certificates[0], nil
	}
	return conf, nil
}

// Addresses returns the endpoints with their health.
func (c *Client) Addresses() *outputs.Addresses { return c.addresses }

// Close closes idle connections. The client stays usable. It does nothing while another
// worker's request is under way, whose worker closes later: the library takes a connection
// for idle as soon as a response without a body has arrived, and would lose that response.
func (c *Client) Close() {
	if c.sending.TryLock() {
		defer c.sending.Unlock()
		c.http.CloseIdleConnections()
	}
}

// redirect follows redirects of requests without a body only, and sends credentials to
// no other host.
func (c *Client) redirect(to *http.Request, via []*http.Request) error {
	first, last := via[0], via[len(via)-1]
	switch {
	case first.Method != http.MethodGet && first.Method != http.MethodHead:
		if to.Body != nil { // opened for a request that will not be made
			to.Body.Close()
		}
		return http.ErrUseLastResponse
	case len(via) >= 10:
		return errors.New("stopped after 10 redirects")
	case to.URL.Scheme != "https" && last.URL.Scheme == "https":
		return errors.New("redirected from https to http")
	}
	to.Header.Del("Referer") // its query may contain a token
	if to.URL.Host == first.URL.Host {
		return nil
	}
	if c.config.Auth.Func != nil { // it may have added any header
		return http.ErrUseLastResponse
	}
	for i := range c.remotes {
		to.Header.Del(c.remotes[i].auth.header)
	}
	to.Header.Del("Authorization")
	return nil
}

// do makes one request to one address. Its error is an *Error. The caller closes the body of
// the response.
func (c *Client) do(ctx context.Context, index int, r *Request) (*http.Response, error) {
	to := &c.remotes[index]
	req, err := http.NewRequestWithContext(ctx, r.method, to.requestURL(r.path), nil)
	if err != nil {
		return nil, &Error{Outcome: Misconfigured, text: "not a URL"} // the library's error quotes it
	}
	for name, values := range r.Header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", "dnsmonster-sensor")
	if r.encoding != "" {
		req.Header.Set("Content-Encoding", r.encoding)
	}
	to.auth.set(req.Header)
	c.warnOfPlainText(to)
	if f := c.config.Auth.Func; f != nil {
		if err := f(ctx, req); err != nil {
			return nil, c.transportError(ctx, err)
		}
	}
	r.attach(req)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.transportError(ctx, err)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		// We did not ask for it. The body would be the connection, whose reads do not end
		// with the context.
		resp.Body.Close()
		resp.Body = http.NoBody
	}
	return resp, nil
}

// warnOfPlainText warns once that credentials can be read by others on the network.
func (c *Client) warnOfPlainText(to *remote) {
	host := to.url.Hostname()
	if to.url.Scheme == "https" || host == "localhost" || net.ParseIP(host).IsLoopback() || to.auth.header == "" && c.config.Auth.Func == nil {
		return
	}
	if c.config.Log != nil && c.warned.CompareAndSwap(false, true) {
		c.config.Log.Warn("password or token is sent unencrypted: use https:// in "+c.optionNames.Server, "address", to.name)
	}
}

// requestURL appends a request's path and query to those of the address.
func (r *remote) requestURL(path string) string {
	u := &r.url
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

// Stream sends a request to the next address and returns the response unread, whatever
// its status: for bodies that are too large for memory. ctx bounds the reading, too;
// the caller closes the body.
func (c *Client) Stream(ctx context.Context, r *Request) (*http.Response, error) {
	at := c.addresses.Next()
	resp, err := c.do(ctx, at.Index, r)
	c.report(ctx, at, err)
	return resp, err
}

// report updates the health of an address after an attempt. An address that refuses records
// is healthy.
func (c *Client) report(ctx context.Context, at outputs.Address, err error) {
	if errors.Is(err, outputs.ErrPermanent) {
		err = nil
	}
	c.addresses.Report(ctx, at, err)
}
