package watch

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Any stands for all interfaces of the network namespace, including those that are
// created later.
const Any = "any"

// IsPattern reports whether a word means all interfaces whose names match it, as any
// and 'eth*' do, and not one interface.
func IsPattern(word string) bool { return word == Any || strings.ContainsAny(word, "*?[") }

// Matches reports whether an interface with this name is one that a word means: a name, a
// pattern in the syntax of filepath.Match, or Any.
func Matches(word, name string) bool {
	if word == Any || word == name {
		return true
	}
	ok, _ := filepath.Match(word, name)
	return ok && IsPattern(word)
}

// means reports whether an interface is one that a word means, by any of its names.
func (i netInterface) means(word string) bool {
	if !IsPattern(word) {
		return i.hasName(word)
	}
	return Matches(word, i.name) || slices.ContainsFunc(i.otherNames(), func(name string) bool { return Matches(word, name) })
}

// checkWords looks at the names and patterns themselves.
func checkWords(words []string) error {
	var errs []error
	for n, word := range words {
		if slices.Contains(words[:n], word) {
			errs = append(errs, fmt.Errorf("interface %s is named twice", word))
		}
		if word == "" {
			errs = append(errs, errors.New("the name of an interface is empty"))
		}
		if _, err := filepath.Match(word, ""); err != nil && IsPattern(word) {
			errs = append(errs, fmt.Errorf("interface pattern %q cannot be read: write it as eth*, eth? or eth[0-9]", word))
		}
	}
	if slices.Contains(words, Any) && len(words) > 1 {
		errs = append(errs, errors.New("any means all interfaces: name no others"))
	}
	return errors.Join(errs...)
}

// missing returns the words that mean no interface. Any always waits, as tcpdump's does.
func missing(words []string, existing []netInterface) (list []string) {
	for _, word := range words {
		if word != Any && !slices.ContainsFunc(existing, func(i netInterface) bool { return i.means(word) }) {
			list = append(list, word)
		}
	}
	return list
}

// Interface is an interface that can be named.
type Interface struct {
	Index int
	Name  string   // what the option takes; on Windows, what Npcap calls it
	Other []string // names that mean the same interface
	Up    bool
}

// Interfaces lists all interfaces, sorted by index.
func Interfaces() ([]Interface, error) {
	all, err := listInterfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var list []Interface
	for _, i := range sorted(all) {
		list = append(list, Interface{i.index, i.name, i.otherNames(), i.up})
	}
	return list, nil
}

// Check reports which of the names and patterns cannot be read, and which mean no
// interface, unless Wait allows that. It changes nothing.
func Check(o Options) error {
	if err := checkWords(o.Interfaces); err != nil || o.Wait != 0 {
		return err
	}
	all, err := listInterfaces()
	if err != nil {
		return nil // Open says it
	}
	var errs []error
	existing := sorted(all)
	for _, word := range missing(o.Interfaces, existing) {
		errs = append(errs, NoInterface(word, interfaceNames(existing)))
	}
	return errors.Join(errs...)
}

// Exists reports whether a name or a pattern means an interface now.
func Exists(word string) bool {
	all, err := listInterfaces()
	return err == nil && word != "" && len(missing([]string{word}, sorted(all))) == 0
}

// maxExisting is how many interfaces an error lists: a host may have hundreds.
const maxExisting = 10

// NoInterface is the error for a name that no interface has, or a pattern that matches
// none.
func NoInterface(word string, existing []string) error {
	hint := ""
	if strings.Contains(word, ",") {
		hint = "; write several with spaces between them"
	}
	if more := len(existing) - maxExisting; more > 0 {
		existing = append(existing[:maxExisting:maxExisting], fmt.Sprintf("and %d more", more))
	}
	return absent(fmt.Sprintf("%s (there are: %s)%s", noInterface(word), strings.Join(existing, ", "), hint))
}

// ErrNoInterface is what errors.Is finds in the errors about interfaces that do not exist.
var ErrNoInterface = errors.New("no such interface")

type absent string

func (e absent) Error() string      { return string(e) }
func (absent) Is(target error) bool { return target == ErrNoInterface }

func noInterface(word string) string {
	if IsPattern(word) {
		return "no interface matches " + word
	}
	return "no interface " + word
}
