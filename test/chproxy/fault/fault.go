// Package fault has what a test and chproxy tell each other.
package fault

import "time"

// Fault is a disturbance of queries.
type Fault struct {
	Query        string // a pattern of the SQL; "": INSERTs that bring data
	Times        int    // how many queries; 0: until there are other faults
	At           At
	Do           Do
	Code         int    // of Exception
	Message      string // of Exception
	Milliseconds int    // of Delay
}

// At is the moment of a fault.
type At string

const (
	Query  At = "query"  // the SQL has come, and nothing was answered
	Header At = "header" // an INSERT's columns were answered, and no data was read
	Block  At = "block"  // in the middle of an INSERT's first block
	Data   At = "data"   // all data was read, and the engine has none of it
	Stored At = "stored" // the engine has stored it, and nothing was answered
)

// Do is what happens then.
type Do string

const (
	Exception Do = "exception" // the server answers with one, and goes on with the next query
	Close     Do = "close"     // the connection ends
	Hang      Do = "hang"      // nothing happens until the client leaves, or there are other faults
	Delay     Do = "delay"     // nothing happens for some time
	Discard   Do = "discard"   // the INSERT's data is read and acknowledged, and never reaches the engine; At is ignored
)

// Insert is an INSERT that brought data.
type Insert struct {
	Begin, End time.Time
	Connection int // counts from 1
	SQL        string
	Settings   map[string]string // as the client sent them
	Blocks     int
	Rows       int
	Error      string // "" if it was acknowledged
}
