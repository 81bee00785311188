package server

import (
	"errors"

	"github.com/ClickHouse/ch-go/proto"
)

// Trial is the setting of an INSERT that is not to be stored. It demands more free space
// than any disk has. The server looks at the rows first, then at the disk, and then at the
// token; neither the table nor its views get anything.
var Trial = Setting{Name: "min_free_disk_bytes_to_perform_insert", Value: "9223372036854775807", Required: true}

// Verdict is what an INSERT with Trial has shown.
type Verdict int

// Verdicts.
const (
	Unknown   Verdict = iota // something else has failed: try again
	Taken                    // the server would store the rows
	Refused                  // it refuses some of them, or so many at once
	CannotTry                // it does not permit a trial, or it has stored the rows
)

// Tried returns the verdict from the result of an INSERT with Trial.
func Tried(err error) Verdict {
	var said *Error
	switch class := Classify(err); {
	case err == nil:
		return CannotTry // it does not know how large the disk is, or the table has a setting of its own
	case class == Rows:
		return Refused
	case class == Parts: // as several INSERTs
		return Taken
	case !errors.As(err, &said):
		return Unknown
	}
	switch proto.Error(said.Code) {
	case proto.ErrNotEnoughSpace:
		return Taken
	case proto.ErrUnknownSetting, proto.ErrReadonly, proto.ErrReadonlySetting, proto.ErrSettingConstraintViolation:
		return CannotTry
	}
	return Unknown
}
