package endpoint

import (
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
)

func TestURL(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		u, err := URL(text)
		got := ""
		switch {
		case err != nil:
			got = "error " + err.Error()
		default:
			got = u.Host
		}
		if !strings.HasPrefix(got, want) || want == "" {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	f("http://db.example.org:80/x", "db.example.org:80")
	f("http://me:secret@db.example.org/x", "db.example.org")
	f("http://me:s%40cret@[2001:db8::1]:80/x", "[2001:db8::1]:80")
	f("https://cdn.example.org/a@1.0/list", "cdn.example.org")
	f("http://me:p@cdn.example.org:80/a%401.0/list?mail=a%40b", "cdn.example.org:80")
	const uncertain = "error it is not certain where"
	f("http://me:se@cret@h/x", uncertain)
	f("http://me:12/cret@h.example.org/x", uncertain)
	f("http://me:se@cret/x@h.example.org/x", uncertain)
	f("http://me:12?cret@h.example.org/x", uncertain)
	f("http://me:12#cret@h.example.org/x", uncertain)
	f("http://token/x@h.example.org/x", uncertain)
	f("http://h.example.org/x#y", uncertain)
	f("http://me:s%zz@h/x", uncertain)
	f("http://me:se/cret@h/x", uncertain)
	f("http://2001:db8::1/x", "error write an IPv6 address in brackets")
	f("http://[192.0.2.1]/x", "error write an IPv6 address in brackets")
	f("http://h:0/x", "error a port is a number")
	f("http://h:x/x", "error a port is a number")
	f("http://h x/x", "error not a host name")
	f("h/x", "error not a URL")
	f("://h/x", "error not a URL")
	f("http://h/%zz", "error not a URL")
}

func TestHostPorts(t *testing.T) {
	f := func(text string, good bool) {
		t.Helper()
		if err := HostPorts(text); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
	f("127.0.0.1:8125", true)
	f("[2001:db8::1]:8125", true)
	f("a,b:1,[::1]", true)
	f("2001:db8::1", false)
	f("a:b", false)
	f("me@h:1", false)
	f("me/h:1", false)
	f("a:65536", false)
}

func TestMask(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := MaskURLs(text); got != want {
			t.Errorf("MaskURLs(%s) = %s, want %s", text, got, want)
		}
	}
	f("", "")
	f("mail me@example.org", "mail me@example.org")
	f("get http://me:secret@h/x and http://h/y", "get http://********@h/x and http://h/y")
	f("http://me@h", "http://********@h")
	f("cannot listen at unix://@name: no", "cannot listen at unix://@name: no")
	f("unix://@a:b@name", "unix://********@name")
	f(`"http://me:se/c@ret@h/x": no`, `"http://********@h/x": no`)
	f("https://cdn.example.org/a@1/list", "https://cdn.example.org/a@1/list")
	f("https://me:1/cdn.example.org/a@1/list", "https://********@1/list")
	f("set it, such as postgres://user:password@host:5432/d", "set it, such as postgres://user:password@host:5432/d")
	f(`"http://me:se\"cret@h/x": no`, `"http://********@h/x": no`)
	f("a://b@c,d://e:f@g", "a://********@g")
	f = func(text, want string) {
		t.Helper()
		if got := MaskURL(text); got != want {
			t.Errorf("MaskURL(%s) = %s, want %s", text, got, want)
		}
	}
	f("", "")
	f("/etc/list@latest", "/etc/list@latest")
	f("me@h://x", "me@h://x")
	f("http://me:se cr\tet@h/x", "http://********@h/x")
	f("https://cdn.example.org/a b@1/list", "https://cdn.example.org/a b@1/list")
}

// TestUserInformationNeverLeaks tries random user information: either the address is
// refused, or its user information is parsed as such. It is shown in neither case.
func TestUserInformationNeverLeaks(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const marks = "ZQXJ"
	accepted := 0
	for range 20000 {
		user := ""
		for range 1 + r.IntN(4) {
			user += []string{marks, "@", "%", "/", ":", "?", "#", "[", "]", "12", ",", "=", "&", ".", "a", "%4", "%40", ";", "\\", "'"}[r.IntN(20)]
			user += marks
		}
		if host, _, ok := strings.Cut(user, "/"); ok && strings.Contains(host, ".") && !strings.ContainsAny(host, ":@") {
			continue // looks like https://example.org/list@latest
		}
		text := "http://" + user + "@" + []string{"h.example.org", "127.0.0.1:80", "[::1]:80", "h"}[r.IntN(4)] + []string{"", "/", "/p", "/p?a=b"}[r.IntN(4)]
		if got := MaskURL(strings.Replace(text, marks, marks+" "+marks, 1)); strings.Contains(got, marks) {
			t.Fatalf("%s: shown as %s", text, got)
		}
		if got := MaskURLs("Get " + text + ": no"); strings.Contains(got, marks) {
			t.Fatalf("%s: shown as %s", text, got)
		}
		u, err := URL(text)
		if err != nil {
			if strings.Contains(err.Error(), marks) {
				t.Fatalf("%s: %v", text, err)
			}
			continue
		}
		accepted++
		u.User = nil
		if left, _ := url.QueryUnescape(u.String()); strings.Contains(left, marks) {
			t.Fatalf("%s: parsed as %s", text, u)
		}
	}
	if accepted < 100 {
		t.Errorf("only %d addresses were accepted", accepted)
	}
}
