// Package endpoint parses server addresses that users write, and keeps their user
// information, which holds passwords, out of all messages. It refuses an address in
// which an unescaped @ or / may have moved part of the user information elsewhere. It
// imports nothing of this project and opens no connection. Its tests generate their
// addresses.
package endpoint

import (
	"errors"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Mask replaces a secret in all text that is shown.
const Mask = "********"

// EscapeHint says how to write characters that have a meaning in a URL.
const EscapeHint = "in user and password write % as %25, @ as %40, / as %2F, : as %3A, ? as %3F, # as %23"

var (
	errUserInfo = errors.New("it is not certain where user and password end: " + EscapeHint + "; elsewhere write @ as %40")
	errIPv6     = errors.New("write an IPv6 address in brackets, such as [2001:db8::1]:5432")
	errHost     = errors.New("not a host name or address")
	errPort     = errors.New("a port is a number from 1 to 65535")
	errNoURL    = errors.New("not a URL")
)

// URL parses a URL strictly. Its errors contain no part of the URL.
func URL(text string) (*url.URL, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || scheme == "" {
		return nil, errNoURL
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	user, hosts, hasUser := strings.Cut(rest[:end], "@")
	if !hasUser {
		user, hosts = "", rest[:end]
	}
	host, port := splitHostPort(hosts)
	switch {
	case strings.Contains(hosts, "@"), strings.Contains(rest[end:], "#"):
		return nil, errUserInfo
	case strings.Contains(rest[end:], "@") && (hasUser || port != "" || rest[end] != '/' || !strings.Contains(host, ".")):
		return nil, errUserInfo // http://me:12/34@example.org: nothing tells 12 from a port
	}
	if err := checkHosts(hosts); err != nil {
		return nil, err
	}
	u, err := url.Parse(text)
	switch {
	case err != nil && strings.Contains(user, "%"):
		return nil, errUserInfo
	case err != nil:
		return nil, errNoURL
	}
	return u, nil
}

// checkHosts checks the host part of a URL: host:port, or several separated by commas.
func checkHosts(list string) error {
	for part := range strings.SplitSeq(list, ",") {
		host, port := splitHostPort(part)
		bracketed := strings.HasPrefix(part, "[")
		switch {
		case bracketed && !isIPv6(host):
			return errIPv6
		case !bracketed && strings.Count(part, ":") > 1:
			return errIPv6
		case !bracketed:
			if err := Host(host); err != nil {
				return err
			}
		}
		if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
			return errPort
		}
	}
	return nil
}

// HostPorts checks host:port, or several separated by commas; ports are optional. IPv6
// addresses need brackets. Its errors contain no part of the text.
func HostPorts(list string) error {
	if strings.Contains(list, "@") {
		return errUserInfo
	}
	return checkHosts(list)
}

// splitHostPort replaces net.SplitHostPort, whose errors quote their input.
func splitHostPort(text string) (host, port string) {
	if rest, ok := strings.CutPrefix(text, "["); ok {
		host, port, _ = strings.Cut(rest, "]")
		return host, strings.TrimPrefix(port, ":")
	}
	host, port, _ = strings.Cut(text, ":")
	return host, port
}

func isIPv6(text string) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && a.Is6()
}

// Host checks the name or address of one host. An empty name is no error. Its errors
// contain no part of the name.
func Host(name string) error {
	if strings.ContainsAny(name, "@/") {
		return errUserInfo
	}
	if strings.Contains(name, ":") {
		if isIPv6(name) {
			return nil
		}
		return errHost
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c == 0x7f || strings.IndexByte(`"'<>[\]^{|}?#`+"`", c) >= 0 {
			return errHost
		}
	}
	return nil
}

var userInText = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://\S*@`)
})

// MaskURLs masks the user information of every URL in a text. Where the end of the
// user information is ambiguous, everything up to the last @ is masked.
func MaskURLs(text string) string {
	if !strings.Contains(text, "://") || !strings.Contains(text, "@") {
		return text
	}
	return userInText().ReplaceAllStringFunc(text, maskUser)
}

// MaskURL masks the user information of a text that is one address. Unlike in
// MaskURLs, white space does not end the address.
func MaskURL(address string) string {
	end := strings.LastIndex(address, "@") + 1
	if !strings.Contains(address[:end], "://") {
		return address
	}
	return maskUser(address[:end]) + address[end:]
}

// maskUser masks the text between :// and the final @.
func maskUser(found string) string {
	scheme, user, _ := strings.Cut(found, "://")
	switch user {
	case "user:password@":
		return found // the example in our own messages
	case "@":
		return found // unix://@name, an abstract socket
	}
	first, _, deeper := strings.Cut(strings.TrimSuffix(user, "@"), "/")
	if deeper && strings.Contains(first, ".") && !strings.ContainsAny(first, ":@") {
		return found // https://example.org/list@latest
	}
	return scheme + "://" + Mask + "@"
}

// MaskAll masks a text that is no address but may have been meant as one: if it contains
// an @, nothing of it is shown.
func MaskAll(text string) string {
	if strings.Contains(text, "@") {
		return Mask
	}
	return text
}
