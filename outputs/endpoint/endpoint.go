// Package endpoint reads the addresses of servers that users write, and keeps
// their user information, which holds passwords, out of all messages. An address
// in which user information may have come to stand in another part, since it holds
// an @ or a / that is not escaped, is refused. It imports nothing of this project
// and opens nothing.
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

// Mask stands in all that is shown in a secret's place.
const Mask = "********"

// EscapeHint is how to write what has a meaning of its own.
const EscapeHint = "in user and password write % as %25, @ as %40, / as %2F, : as %3A, ? as %3F, # as %23"

var (
	errUserInfo = errors.New("it cannot be read with certainty where user and password end: " + EscapeHint + "; elsewhere write @ as %40")
	errIPv6     = errors.New("an IPv6 address stands in brackets, such as [2001:db8::1]:5432")
	errHost     = errors.New("this is no name or address of a host")
	errPort     = errors.New("a port is a number from 1 to 65535")
	errNoURL    = errors.New("this is no URL")
)

// URL reads a URL strictly. Its errors hold no part of it.
func URL(text string) (*url.URL, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || scheme == "" {
		return nil, errNoURL
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	user, hosts, has := strings.Cut(rest[:end], "@")
	if !has {
		user, hosts = "", rest[:end]
	}
	host, port := splitHostPort(hosts)
	switch {
	case strings.Contains(hosts, "@"), strings.Contains(rest[end:], "#"):
		return nil, errUserInfo
	case strings.Contains(rest[end:], "@") && (has || port != "" || rest[end] != '/' || !strings.Contains(host, ".")):
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

// checkHosts checks what stands in the place of hosts in a URL: host:port, or several
// with commas between.
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

// HostPorts checks host:port, or several with commas between, each host with or
// without a port. An IPv6 address stands in brackets. Its errors hold no part of
// the text.
func HostPorts(list string) error {
	if strings.Contains(list, "@") {
		return errUserInfo
	}
	return checkHosts(list)
}

// splitHostPort does without the checks of the library, whose errors show what they
// are about.
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

// Host checks the name or the address of one host; "" is none, and no error. Its
// errors hold no part of it.
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

// MaskURLs masks the user information of all URLs in a text. Where it may end at one
// of several places, it goes on to the last one.
func MaskURLs(text string) string {
	if !strings.Contains(text, "://") || !strings.Contains(text, "@") {
		return text
	}
	return userInText().ReplaceAllStringFunc(text, maskUser)
}

// MaskURL masks the user information of a text that is one address: white space
// does not end it, as it does in MaskURLs.
func MaskURL(address string) string {
	end := strings.LastIndex(address, "@") + 1
	if !strings.Contains(address[:end], "://") {
		return address
	}
	return maskUser(address[:end]) + address[end:]
}

// hide masks what stands between :// and the @ at the end.
func maskUser(found string) string {
	scheme, user, _ := strings.Cut(found, "://")
	if user == "user:password@" {
		return found // of our own advice
	}
	first, _, deeper := strings.Cut(strings.TrimSuffix(user, "@"), "/")
	if deeper && strings.Contains(first, ".") && !strings.ContainsAny(first, ":@") {
		return found // https://example.org/list@latest
	}
	return scheme + "://" + Mask + "@"
}
