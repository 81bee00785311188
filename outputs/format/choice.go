package format

import "fmt"

// Help of the options with which the user of an output chooses a format.
const (
	Usage = "`FORMAT` of the records: json, text, csv, csv_no_header, gotemplate, json-flat or json-ocsf. " +
		"text is for reading; csv splits the time into several fields"
	TemplateUsage = "Go `TEMPLATE` of a record, for the format gotemplate. Control characters in data are escaped. A record for which the template fails is not written"
)

// Choice is the values of an output's options <output>outputformat and
// <output>outputgotemplate.
type Choice struct{ Name, Template string }

// Format returns the chosen format with the options o. The error names the option
// that is wrong.
func (c Choice) Format(output string, o Options) (Format, error) {
	o.Template = c.Template
	f, err := New(c.Name, o)
	if err == nil {
		return f, nil
	}
	if c.Name == "gotemplate" {
		return f, fmt.Errorf("%soutputgotemplate: %w", output, err)
	}
	return f, fmt.Errorf("%soutputformat: %w", output, err)
}
