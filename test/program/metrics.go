package program

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// Scrape asks a metrics endpoint until it answers.
func Scrape(t *testing.T, url string) string {
	t.Helper()
	client := http.Client{Timeout: WaitLimit, Transport: &http.Transport{DisableKeepAlives: true}}
	var err error
	for end := time.Now().Add(WaitLimit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var r *http.Response
		if r, err = client.Get(url); err == nil {
			defer r.Body.Close()
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
	}
	t.Fatalf("%s does not answer: %v", url, err)
	return ""
}

// Sample finds one sample in Prometheus's text; -1 where it is missing.
func Sample(text, sample string) float64 {
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(sample) + ` (\S+)$`).FindStringSubmatch(text)
	if m == nil {
		return -1
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return -1
	}
	return v
}
