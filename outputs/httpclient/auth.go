package httpclient

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"dnsmonster-sensor/outputs/secure"
)

// Auth is how requests authenticate: by a user, a token, or whatever Func adds. The
// user information of an endpoint is a user as well.
type Auth struct {
	Login       secure.Login
	LoginOption string // the option of the user name, for messages

	Token       string
	TokenOption string
	Scheme      string // precedes the token: Bearer, ApiKey, Splunk, Token; "": Bearer
	Header      string // holds the token without a scheme; "": Authorization

	// Func adds a token that has to be fetched first. It is called for each attempt,
	// from several goroutines, and may use this or another client. Its error is the
	// error of the attempt.
	Func func(ctx context.Context, r *http.Request) error
}

func (a *Auth) isSet() bool { return a.Login.Username != "" || a.Token != "" || a.Func != nil }

// optionName is the option that messages tell users to look at.
func (a *Auth) optionName() string {
	if a.Token != "" {
		return "--" + a.TokenOption
	}
	return "--" + a.LoginOption
}

// check returns an error that never shows a value.
func (a *Auth) check() error {
	if err := a.Login.Check(); err != nil {
		return err
	}
	switch {
	case a.Login.Username != "" && a.Token != "":
		return fmt.Errorf("%s: a user is set as well, in %s: leave one of the two out", a.TokenOption, a.LoginOption)
	case strings.Contains(a.Login.Username, ":"):
		return fmt.Errorf("%s: a user name must not contain a colon", a.LoginOption)
	}
	if err := checkHeader(a.Token); err != nil {
		return fmt.Errorf("%s: %w", a.TokenOption, err)
	}
	return nil
}

// checkHeader refuses a value that a header cannot contain.
func checkHeader(value string) error {
	for _, c := range []byte(value) {
		if c < ' ' || c == 0x7f {
			return errors.New("a token must not contain line ends or control characters")
		}
	}
	return nil
}

// authorization is the header that authenticates requests; header is "" if they are
// anonymous.
type authorization struct{ header, value string }

func (a authorization) set(h http.Header) {
	if a.header != "" {
		h.Set(a.header, a.value)
	}
}

// authorizationFor returns the header for the options, or for the user information of an
// endpoint.
func (a *Auth) authorizationFor(user *url.Userinfo) authorization {
	name, password := a.Login.Username, a.Login.Password
	if user != nil {
		name = user.Username()
		password, _ = user.Password()
	}
	switch {
	case user != nil || name != "":
		return authorization{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))}
	case a.Token != "" && a.Header != "":
		return authorization{a.Header, a.Token}
	case a.Token != "":
		return authorization{"Authorization", cmp.Or(a.Scheme, "Bearer") + " " + a.Token}
	}
	return authorization{}
}

// collectSecrets collects secrets that servers may repeat in their answers, as they are and
// in the forms in which servers quote them.
func (c *Client) collectSecrets() {
	add := func(s string) {
		if len(s) > 2 { // shorter ones occur inside ordinary words
			quoted := strconv.Quote(s) // as in JSON, except for characters outside ASCII
			c.secrets = append(c.secrets, s, quoted[1:len(quoted)-1], url.QueryEscape(s), url.PathEscape(s))
		}
	}
	a := &c.config.Auth
	add(a.Login.Password)
	add(a.Token)
	for i, p := range c.remotes {
		if _, code, ok := strings.Cut(p.auth.value, " "); ok {
			add(code)
		}
		if u, err := url.Parse(strings.TrimSpace(c.config.Endpoints[i])); err == nil {
			password, _ := u.User.Password()
			add(password)
			add(u.User.Username())
		}
	}
	proxies := []string{c.config.Proxy}
	for _, name := range proxyVariables {
		proxies = append(proxies, os.Getenv(name))
	}
	for _, text := range proxies {
		if !strings.Contains(text, "://") {
			text = "http://" + text
		}
		if u, err := url.Parse(text); err == nil {
			password, _ := u.User.Password()
			add(password)
		}
	}
	slices.SortFunc(c.secrets, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	c.secrets = slices.Compact(c.secrets)
}
