package outputs

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/format"
	"dnsmonster-sensor/outputs/secure"
)

// SecretFlag declares an option for a password or token.
type SecretFlag = secure.SecretFlag

// Basics are the name, options and checks that most outputs have in common. An output
// embeds them and declares the options that it wants, in its own order, each by its
// environment variable, spelled out. The option's name is the variable's without
// DNSMONSTER_, in lower case.
type Basics struct {
	Common     Common // set by SetCommon
	Workers    int    // 1 if there is no option for it
	BatchSize  int
	BatchDelay time.Duration
	Timeout    time.Duration
	Choice     format.Choice

	output string
	kind   int

	// Names of the declared options; "": not declared.
	typeOption, workersOption, sizeOption, delayOption, timeoutOption, formatOption string

	minBatchSize int // smallest valid BatchSize
}

// NewBasics returns the basics of an output that is switched off. name is one lower-case
// word.
func NewBasics(name string) Basics { return Basics{output: name, Workers: 1} }

// Name is the output's name.
func (b *Basics) Name() string { return b.output }

// SetCommon takes the program's options.
func (b *Basics) SetCommon(c Common) { b.Common = c }

// Describe names the output and the format of its records.
func (b *Basics) Describe() string { return b.DescribeAt("") }

// DescribeAt also says where the records go.
func (b *Basics) DescribeAt(where string) string {
	text := b.output
	if where != "" {
		text += " " + where
	}
	if b.formatOption != "" {
		text += " (" + b.Choice.Name + ")"
	}
	return text
}

// Log is never nil.
func (b *Basics) Log() *slog.Logger {
	return cmp.Or(b.Common.Log, slog.New(slog.DiscardHandler))
}

// Section is the output's section of a configuration file.
func (b *Basics) Section() string { return b.output + "_output" }

// IsOff reports whether the output is switched off.
func (b *Basics) IsOff() bool { return Type(b.kind) == Off }

// TypeUsage is the help of an output's type option. what is the destination, as in "for
// files"; "" leaves it out.
func TypeUsage(what string) string {
	if what != "" {
		what = " " + what
	}
	return "`TYPE` of filter" + what + ": 0 off, 1 all records, 2 those not on the skip list, 3 those on the allow list, 4 both 2 and 3"
}

// TypeFlag declares the option that switches the output on. Every output has it,
// as <output>outputtype. what is as in TypeUsage.
func (b *Basics) TypeFlag(env, what string) cli.Flag {
	b.typeOption = secure.OptionName(env)
	return &cli.IntFlag{Category: b.Section(), Name: b.typeOption, EnvVars: []string{env}, Destination: &b.kind, Usage: TypeUsage(what)}
}

// WorkersFlag declares the number of writers. usage is its help.
func (b *Basics) WorkersFlag(env string, number int, usage string) cli.Flag {
	b.workersOption = secure.OptionName(env)
	return &cli.IntFlag{Category: b.Section(), Name: b.workersOption, EnvVars: []string{env}, Value: number, Destination: &b.Workers, Usage: usage}
}

// BatchFlags declares how many records are sent at once, and how long records wait for
// others: a delay other than 0 disables the size. 0 is a valid size only if it is the
// default; it means as many as there is room for. usage is the help of the size.
func (b *Basics) BatchFlags(sizeEnv string, size int, usage, delayEnv string, delay time.Duration) []cli.Flag {
	b.sizeOption, b.delayOption, b.minBatchSize = secure.OptionName(sizeEnv), secure.OptionName(delayEnv), min(size, 1)
	return []cli.Flag{
		&cli.IntFlag{Category: b.Section(), Name: b.sizeOption, EnvVars: []string{sizeEnv}, Value: size, Destination: &b.BatchSize, Usage: usage},
		&cli.DurationFlag{
			Category: b.Section(), Name: b.delayOption, EnvVars: []string{delayEnv}, Value: delay, Destination: &b.BatchDelay,
			Usage: "`TIME` after which a batch is sent, whatever its size. 0: a batch is sent when it is full, or after 1s",
		},
	}
}

// TimeoutFlag declares how long one attempt may take.
func (b *Basics) TimeoutFlag(env string, timeout time.Duration) cli.Flag {
	b.timeoutOption = secure.OptionName(env)
	return &cli.DurationFlag{
		Category: b.Section(), Name: b.timeoutOption, EnvVars: []string{env}, Value: timeout, Destination: &b.Timeout,
		Usage: "`TIME` after which an attempt to connect or to write is cancelled and repeated",
	}
}

// FormatFlags declares the format of the records, <output>outputformat, and its template,
// <output>outputgotemplate.
func (b *Basics) FormatFlags(formatEnv, templateEnv string) []cli.Flag {
	b.formatOption = secure.OptionName(formatEnv)
	return []cli.Flag{
		&cli.StringFlag{Category: b.Section(), Name: b.formatOption, EnvVars: []string{formatEnv}, Value: "json", Destination: &b.Choice.Name, Usage: format.Usage},
		&cli.StringFlag{
			Category: b.Section(), Name: secure.OptionName(templateEnv), EnvVars: []string{templateEnv}, Value: "{{.}}", Destination: &b.Choice.Template,
			Usage: format.TemplateUsage,
		},
	}
}

// RecordFormat is the chosen format, with the program's options for records. Its error
// names the option that is wrong.
func (b *Basics) RecordFormat() (format.Format, error) {
	return b.Choice.Format(b.output, b.Common.Records)
}

// Settings checks the declared options. Its error joins all mistakes.
func (b *Basics) Settings() (Settings, error) {
	s := Settings{Type: Type(b.kind), Workers: b.Workers, Timeout: b.Timeout}
	s.SetBatch(b.BatchSize, b.BatchDelay)
	s.BatchSizeOption = b.sizeOption
	var errs []error
	addIf := func(wrong bool, option, text string, a ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(option+": "+text, a...))
		}
	}
	addIf(b.kind < int(Off) || b.kind > int(SkipAndAllow), b.typeOption, "%d is not one of 0 to 4", b.kind)
	addIf(b.Workers < 1, b.workersOption, "must be at least 1, not %d", b.Workers)
	addIf(b.BatchSize < b.minBatchSize, b.sizeOption, "must be at least %d, not %d", b.minBatchSize, b.BatchSize)
	addIf(b.BatchDelay < 0, b.delayOption, "must be 0 or more, not %s", b.BatchDelay)
	addIf(b.timeoutOption != "" && b.Timeout < time.Millisecond, b.timeoutOption, "must be at least 1ms, not %s", b.Timeout)
	if b.formatOption != "" {
		_, err := b.RecordFormat()
		errs = append(errs, err)
	}
	return s, errors.Join(errs...)
}
