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

// Auth says who asks: a user, a token, or whatever Func adds. The user
// information of an endpoint is a user, too.
type Auth struct {
	Login       secure.Login
	LoginOption string // of the user's name, for messages

	Token       string
	TokenOption string
	Scheme      string // before the token: Bearer, ApiKey, Splunk, Token; "": Bearer
	Header      string // that holds the token and no scheme; "": Authorization

	// Func adds a token that has to be got first. It is called for each attempt,
	// from several goroutines, and may use this or another client. Its error is
	// one of the attempt.
	Func func(ctx context.Context, r *http.Request) error
}

func (a *Auth) given() bool { return a.Login.Username != "" || a.Token != "" || a.Func != nil }

// option is what users are told to look at.
func (a *Auth) option() string {
	if a.Token != "" {
		return "--" + a.TokenOption
	}
	return "--" + a.LoginOption
}

// check never shows a value.
func (a *Auth) check() error {
	if err := a.Login.Check(); err != nil {
		return err
	}
	switch {
	case a.Login.Username != "" && a.Token != "":
		return fmt.Errorf("%s: there is a user, too, in %s: leave one of the two out", a.TokenOption, a.LoginOption)
	case strings.Contains(a.Login.Username, ":"):
		return fmt.Errorf("%s: a user's name has no colon", a.LoginOption)
	}
	if err := checkHeader(a.Token); err != nil {
		return fmt.Errorf("%s: %w", a.TokenOption, err)
	}
	return nil
}

// checkHeader looks for what cannot stand in a header.
func checkHeader(value string) error {
	for _, c := range []byte(value) {
		if c < ' ' || c == 0x7f {
			return errors.New("a token has no line ends and no control characters")
		}
	}
	return nil
}

// authorization is one header; its name is "" where nobody asks.
type authorization struct{ header, value string }

func (a authorization) set(h http.Header) {
	if a.header != "" {
		h.Set(a.header, a.value)
	}
}

// authorization is what the options say, or the user information of an address.
func (a *Auth) authorization(user *url.Userinfo) authorization {
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

// collectSecrets finds what servers may say again, as it is and in the forms in which
// they quote it.
func (c *Client) collectSecrets() {
	add := func(s string) {
		if len(s) > 2 { // shorter ones are parts of many words
			quoted := strconv.Quote(s) // as in JSON, but for characters that are no ASCII
			c.secrets = append(c.secrets, s, quoted[1:len(quoted)-1], url.QueryEscape(s), url.PathEscape(s))
		}
	}
	a := &c.config.Auth
	add(a.Login.Password)
	add(a.Token)
	for i, p := range c.places {
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
	for _, name := range variables {
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
