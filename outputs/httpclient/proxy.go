package httpclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/endpoint"
	"dnsmonster-sensor/outputs/secure"
)

// ProxyFlag declares the option for Config.Proxy by its variable.
func ProxyFlag(section, env string, to *string) cli.Flag {
	return &cli.StringFlag{
		Category: section, Name: secure.OptionName(env), EnvVars: []string{env}, Destination: to,
		Usage: "`URL` of a proxy: http://user:password@host:port, https:// or socks5://; none: no proxy. Empty: what HTTP_PROXY, HTTPS_PROXY and NO_PROXY say",
	}
}

// CompressionFlag declares the option for Config.Compression by its variable.
func CompressionFlag(section, env, value string, to *string) cli.Flag {
	return &cli.StringFlag{
		Category: section, Name: secure.OptionName(env), EnvVars: []string{env}, Value: value, Destination: to,
		Usage: "`HOW` to compress what is sent: none, gzip or zstd; the server must be able to unpack it",
	}
}

var errProxy = fmt.Errorf("not of the form http://user:password@host:port: %s", endpoint.EscapeHint)

// proxyOf is how requests find their proxy. Errors hold nothing of its address.
func proxyOf(option string) (func(*http.Request) (*url.URL, error), error) {
	switch option = strings.TrimSpace(option); option {
	case "":
		return fromEnvironment, nil
	case "none":
		return nil, nil
	}
	if !strings.Contains(option, "://") {
		option = "http://" + option
	}
	u, err := endpoint.URL(option)
	if err != nil || checkProxy(u) != nil {
		return nil, errProxy
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
		return http.ProxyURL(u), nil
	}
	return nil, errors.New("a proxy is an http://, https:// or socks5:// URL, or none")
}

var variables = []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"}

// fromEnvironment is the one that the environment names. The library's errors
// about it hold its password.
func fromEnvironment(request *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(request)
	if err == nil && u == nil {
		err = unreadable()
	} else if err == nil {
		err = checkProxy(u)
	}
	if err != nil {
		return nil, fmt.Errorf("the proxy in the environment variable HTTP_PROXY or HTTPS_PROXY is %w", errProxy)
	}
	return u, nil
}

// unreadable tells of a proxy that the library leaves out since it cannot read its
// address.
func unreadable() error {
	for _, name := range variables {
		value := os.Getenv(name)
		if _, err := url.Parse(value); err != nil {
			if _, err = url.Parse("http://" + value); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkProxy refuses an address that has more than a proxy's needs: a password
// that is not escaped may have become a path.
func checkProxy(u *url.URL) error {
	if u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("not a host and a port")
	}
	return endpoint.HostPorts(u.Host)
}

// proxyAnswered names the proxy where it does not let us through.
func (c *Client) proxyAnswered(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	switch {
	case answer.StatusCode == http.StatusOK:
		return nil
	case answer.StatusCode == http.StatusProxyAuthRequired:
		return &Error{Outcome: Wrong, text: "the proxy answers " + c.plain(answer.Status) + ": put its user and password right"}
	}
	return &Error{Outcome: Retry, text: "the proxy answers " + c.plain(answer.Status)}
}
