package live

// Report says what a host allows.
type Report struct {
	Kernel     string            `json:"kernel"`
	Features   []Feature         `json:"features"`
	Mode       Mode              `json:"mode,omitempty"` // that `attach --mode=auto` would use; "" if none works
	Why        string            `json:"why"`
	Advice     []string          `json:"advice,omitempty"`
	Tunnels    string            `json:"tunnels"` // what is captured of their contents
	Interfaces []InterfaceReport `json:"interfaces"`
}

// Feature is something that the kernel or our privileges may lack.
type Feature struct {
	Name   string `json:"name"`
	Have   bool   `json:"have"`
	Reason string `json:"reason,omitempty"` // why not
}

// InterfaceReport says what one interface allows.
type InterfaceReport struct {
	Name       string   `json:"name"`
	Up         bool     `json:"up"`
	Type       string   `json:"type"`
	MTU        int      `json:"mtu"`
	Mode       Mode     `json:"mode,omitempty"`
	Attached   []string `json:"attached,omitempty"` // programs and sockets on it, in the order in which packets reach them
	Hidden     []string `json:"hidden,omitempty"`   // traffic that we would not see
	Advice     []string `json:"advice,omitempty"`
	Impossible string   `json:"impossible,omitempty"` // why it cannot be captured
}
