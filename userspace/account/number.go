package account

import "strconv"

// Counted is a number of things for people, such as "1 packet" or "1,204 packets".
func Counted(n uint64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return Number(n) + " " + thing + "s"
}

// Number writes n for people, with a comma before each group of three digits.
func Number(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	text := make([]byte, 0, len(digits)+len(digits)/3)
	for i := range len(digits) {
		if left := len(digits) - i; i > 0 && left%3 == 0 {
			text = append(text, ',')
		}
		text = append(text, digits[i])
	}
	return string(text)
}
