package config

import (
	"fmt"
	"regexp"
	"strings"
)

// splitNumbers splits the values of a list of numbers at commas, which no number contains.
func splitNumbers(values []string) (list []string) {
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			list = append(list, strings.TrimSpace(part))
		}
	}
	return list
}

var (
	bareNumber  = regexp.MustCompile(`^[0-9]+$`)
	numberRange = regexp.MustCompile(`^[0-9]+[-:][0-9]+$`)
	maskLength  = regexp.MustCompile(`^/[0-9]+$`)
)

// hint adds to the error about a value how it is probably meant.
func hint(o *Option, text string, err error, at Layer) error {
	switch {
	case at == CommandLine && strings.HasPrefix(text, "--"):
		return fmt.Errorf("%w: the value is missing, %s follows", err, nameOrMask(text))
	case o.Kind == Duration && bareNumber.MatchString(text):
		return fmt.Errorf("%w: did you mean %ss?", err, text)
	case o.Name == "port" && (text == "dns" || text == "domain"):
		return fmt.Errorf("%w: did you mean 53?", err)
	case o.Kind == Int && maskLength.MatchString(text):
		return fmt.Errorf("%w: did you mean %s?", err, text[1:])
	case o.List && o.Kind == Int && text == "":
		return fmt.Errorf("a number is missing before or after a comma: write 53,853, without spaces")
	case o.List && o.Kind == Int && len(strings.FieldsFunc(text, isSeparator)) > 1:
		return fmt.Errorf("%w: separate numbers by commas: %s", err, strings.Join(strings.FieldsFunc(text, isSeparator), ","))
	case o.List && o.Kind == Int && numberRange.MatchString(text):
		return fmt.Errorf("%w: ranges are not read, write each number: 53,853", err)
	}
	return err
}
