package endpoint

import "strings"

// MaskAll masks a text that is no address but may have been meant as one: where
// it holds an @, nothing of it is shown.
func MaskAll(text string) string {
	if strings.Contains(text, "@") {
		return Mask
	}
	return text
}
