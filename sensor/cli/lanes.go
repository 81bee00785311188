package cli

import (
	"os"
	"runtime"
	"sync"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/sensor/cpus"
)

// quota is read once: it must not change between two checks of options.
var quota = sync.OnceValue(cpus.Quota)

// lanes returns the number of lanes: --workers, or one for each processor of --pincpus,
// or one for each processor that this process may use. --gomaxprocs, and the variable
// that Go has for it, are obeyed; otherwise a limit of the control group lowers the number.
func (o *captureOptions) lanes() int {
	if o.workers > 0 {
		return o.workers
	}
	if list, err := cpus.Parse(o.pinCPUs); err == nil {
		return min(len(list), maxWorkers)
	}
	n := runtime.GOMAXPROCS(0)
	if o.process.gomaxprocs <= 0 && os.Getenv("GOMAXPROCS") == "" {
		n = min(n, quota())
	}
	return min(n, maxWorkers)
}

func pinFlag(to *string) cli.Flag {
	return &cli.StringFlag{
		Category: "capture", Name: "pincpus", EnvVars: []string{"DNSMONSTER_PINCPUS"}, Destination: to,
		Usage: "bind each worker to one of these processors in turn, a `LIST` such as 2-3,6; without --workers there is one worker for each. Linux only",
	}
}

func checkPinning(list string) error {
	if list == "" {
		return nil
	}
	numbers, err := cpus.Parse(list)
	if err == nil {
		err = cpus.Check(numbers)
	}
	if err != nil {
		return usageError("--pincpus: %w", err)
	}
	return nil
}

// pinLane returns what binds a lane's thread to its processor, nil without --pincpus.
func (o *captureOptions) pinLane() func(lane int) error {
	list, err := cpus.Parse(o.pinCPUs)
	if err != nil { // it is empty: others were refused
		return nil
	}
	return func(lane int) error { return cpus.Pin(list[lane%len(list)]) }
}
