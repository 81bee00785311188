//go:build amd64 || arm64

package format

import (
	"testing"

	"github.com/bytedance/sonic"
)

// fromSonic is the JSON of dnsmonster's encoder.
func fromSonic(_ *testing.T, v any) ([]byte, error) { return sonic.Marshal(v) }
