package psql

import (
	"cmp"
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"dnsmonster-sensor/outputs/endpoint"
)

// The library parses an endpoint as far as it can and quotes the rest in its errors:
// an unescaped password would become a host, a port, a database or a parameter, and be
// shown. So ambiguous endpoints are refused here, in words that contain no part of
// them.
var (
	errURI      = errors.New("not of the form postgres://user:password@host:5432/database: " + endpoint.EscapeHint)
	errKeywords = errors.New("not of the form host=db.example.org user=sensor password='...' dbname=dns: write a value with a space in single quotes, with \\' for a quote and \\\\ for a backslash")
)

// checkEndpoint checks the form of an endpoint. Its errors contain no part of it.
func checkEndpoint(text string) error {
	for _, scheme := range []string{"postgres://", "postgresql://"} {
		if rest, ok := strings.CutPrefix(text, scheme); ok {
			return checkURI(rest)
		}
	}
	if strings.Contains(text, "://") && !strings.Contains(text, "=") {
		return errURI
	}
	return checkKeywords(text)
}

// splitURI splits off the user information as libpq does: it ends at the first @
// before the first /.
func splitURI(rest string) (user, after string) {
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		return rest[:i], rest[i+1:]
	}
	return "", rest
}

func checkURI(rest string) error {
	if !isEscaped(rest) {
		return errURI
	}
	_, rest = splitURI(rest)
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	if err := endpoint.HostPorts(rest[:end]); err != nil {
		return err
	}
	path, query, _ := strings.Cut(rest[end:], "?")
	if strings.ContainsAny(strings.TrimPrefix(path, "/"), "/@") {
		return errURI
	}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, ok := strings.Cut(pair, "=")
		switch {
		case pair == "" && query == "":
		case !ok || strings.Contains(value, "=") || !parameterName().MatchString(name):
			return errURI
		case strings.Contains(value, "@") && !slices.Contains(mayContainAt, strings.ToLower(name)):
			return errURI
		}
	}
	return nil
}

// mayContainAt are the parameters in which an @ is legitimate.
var mayContainAt = []string{"user", "password", "sslpassword", "passfile", "application_name", "fallback_application_name", "sslcert", "sslkey", "sslrootcert", "options"}

var parameterName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`) })

// isEscaped reports whether a URI has no character that must be escaped, and no
// invalid escape sequence.
func isEscaped(text string) bool {
	const hex = "0123456789abcdefABCDEF"
	for i := range len(text) {
		switch c := text[i]; {
		case c <= ' ' || c == 0x7f:
			return false
		case c == '%' && (i+2 >= len(text) || strings.IndexByte(hex, text[i+1]) < 0 || strings.IndexByte(hex, text[i+2]) < 0 || text[i+1:i+3] == "00"):
			return false
		}
	}
	return true
}

// checkKeywords parses keyword=value pairs as libpq does.
func checkKeywords(text string) error {
	const space = " \t\n\r\v\f"
	for text = strings.Trim(text, space); text != ""; text = strings.TrimLeft(text, space) {
		name, rest, ok := strings.Cut(text, "=")
		if !ok || !parameterName().MatchString(strings.Trim(name, space)) {
			return errKeywords
		}
		text = strings.TrimLeft(rest, space)
		end, quoted := 0, strings.HasPrefix(text, "'")
		if quoted {
			text = text[1:]
		}
		for ; end < len(text); end++ {
			c := text[end]
			if quoted && c == '\'' || !quoted && strings.IndexByte(space, c) >= 0 {
				break
			}
			if c == '\\' {
				end++
			}
		}
		if quoted {
			if end++; end > len(text) || end < len(text) && strings.IndexByte(space, text[end]) < 0 {
				return errKeywords
			}
		}
		text = text[min(end, len(text)):]
	}
	return nil
}

// checkHosts checks the hosts that the library has found: they may come from the
// environment and from a service file as well.
func checkHosts(c *pgconn.Config) error {
	hosts := []string{c.Host}
	for _, f := range c.Fallbacks {
		hosts = append(hosts, f.Host)
	}
	for _, h := range hosts {
		if strings.HasPrefix(h, "/") {
			continue // the directory of a Unix socket
		}
		if err := endpoint.Host(h); err != nil {
			return err
		}
	}
	return nil
}

// poolParameters are parameters of the connection pool that dnsmonster uses. They have
// no effect here, where --psqlworkers is the number of connections, and a server would
// refuse them.
var poolParameters = []string{
	"pool_max_conns", "pool_min_conns", "pool_min_idle_conns", "pool_max_conn_lifetime", "pool_max_conn_lifetime_jitter",
	"pool_max_conn_idle_time", "pool_health_check_period", "default_query_exec_mode", "statement_cache_capacity", "description_cache_capacity",
}

// harmlessParameters may appear in messages of the server. Any other parameter may be
// part of an unescaped password.
var harmlessParameters = []string{"application_name", "client_encoding", "search_path", "options", "timezone", "datestyle", "statement_timeout", "lock_timeout", "work_mem", "synchronous_commit"}

// masker returns a function that masks user, password and unusual parameters of an
// endpoint in texts of the server and the library.
func masker(c *pgconn.Config) func(string) string {
	words := []string{c.Password, c.User}
	for name, value := range c.RuntimeParams {
		if !slices.Contains(harmlessParameters, strings.ToLower(name)) {
			words = append(words, name, value)
		}
	}
	slices.SortFunc(words, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return func(text string) string {
		for _, w := range words {
			switch {
			case len(w) > 2:
				text = strings.ReplaceAll(text, w, endpoint.Mask)
			case w != "": // it may be part of ordinary words
				text = strings.ReplaceAll(text, `"`+w+`"`, `"`+endpoint.Mask+`"`)
			}
		}
		return text
	}
}
