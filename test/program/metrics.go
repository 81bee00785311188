//go:build linux

package program

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"testing"

	"dnsmonster-sensor/test/await"
)

// Scrape asks a metrics endpoint until it answers.
func Scrape(t *testing.T, url string) string {
	t.Helper()
	client := http.Client{Timeout: await.Limit, Transport: &http.Transport{DisableKeepAlives: true}}
	var text []byte
	await.True(t, url+" answers", func() bool {
		r, err := client.Get(url)
		if err != nil {
			return false
		}
		defer r.Body.Close()
		if text, err = io.ReadAll(r.Body); err != nil {
			t.Fatal(err)
		}
		return true
	})
	return string(text)
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
