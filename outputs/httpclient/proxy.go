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

// ProxyFlag declares the option of Config.Proxy.
func ProxyFlag(section, env string, to *string) cli.Flag {
	return &cli.StringFlag{
		Category: section, Name: secure.OptionName(env), EnvVars: []string{env}, Destination: to,
		Usage: "`URL` of a proxy: http://user:password@host:port, https:// or socks5://; none: no proxy. Empty: HTTP_PROXY, HTTPS_PROXY and NO_PROXY decide",
	}
}

var errProxy = fmt.Errorf("not of the form http://user:password@host:port: %s", endpoint.EscapeHint)

// parseProxy returns how requests find their proxy. Its errors contain no part of the
// address.
func parseProxy(option string) (func(*http.Request) (*url.URL, error), error) {
	switch option = strings.TrimSpace(option); option {
	case "":
		return proxyFromEnvironment, nil
	case None:
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
	return nil, errors.New("use an http://, https:// or socks5:// URL, or none")
}

var proxyVariables = []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"}

// proxyFromEnvironment is http.ProxyFromEnvironment without its errors, which contain
// the proxy's password.
func proxyFromEnvironment(request *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(request)
	if err == nil && u == nil {
		err = checkEnvironment()
	} else if err == nil {
		err = checkProxy(u)
	}
	if err != nil {
		return nil, fmt.Errorf("the proxy in the environment variable HTTP_PROXY or HTTPS_PROXY is %w", errProxy)
	}
	return u, nil
}

// checkEnvironment finds a proxy that the library silently ignores because it cannot
// parse its address.
func checkEnvironment() error {
	for _, name := range proxyVariables {
		value := os.Getenv(name)
		if _, err := url.Parse(value); err != nil {
			if _, err = url.Parse("http://" + value); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkProxy refuses an address with more than a proxy needs: an unescaped password
// may have been parsed as a path.
func checkProxy(u *url.URL) error {
	if u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("not a host and a port")
	}
	return endpoint.HostPorts(u.Host)
}

// checkProxyResponse makes an error that names the proxy if the proxy refuses to connect.
func (c *Client) checkProxyResponse(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusOK:
		return nil
	case resp.StatusCode == http.StatusProxyAuthRequired:
		return &Error{Outcome: Misconfigured, text: "the proxy answers " + c.sanitize(resp.Status) + ": correct its user and password"}
	}
	return &Error{Outcome: Retry, text: "the proxy answers " + c.sanitize(resp.Status)}
}
