package capture

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dnsmonster-sensor/bpf"
)

// Mode is how packets are taken from an interface.
type Mode string

// Modes of the command line.
const (
	ModeAuto   Mode = "auto"   // TCX, or clsact on kernels before 6.6
	ModeTCX    Mode = "tcx"    // TC programs at the head of the chain, both directions
	ModeClsact Mode = "clsact" // TC programs as first filters of a clsact qdisc, both directions
	ModeXDP    Mode = "xdp"    // XDP for what comes in, TC for what goes out
)

// ParseMode checks the word of an option.
func ParseMode(s string) (Mode, error) {
	switch m := Mode(s); m {
	case ModeAuto, ModeTCX, ModeClsact, ModeXDP:
		return m, nil
	}
	return "", fmt.Errorf("unknown mode %q: use auto, tcx, clsact or xdp", s)
}

// watch keeps the programs on the interfaces that the user named, also when one
// is deleted and made again.
type watch struct {
	kernel  *bpf.Kernel
	mode    Mode
	promisc bool
	log     *slog.Logger

	mu    sync.Mutex
	ports []*port
}

// port is a named interface, attached or waited for.
type port struct {
	name       string
	index      int
	attachment *bpf.Attachment // nil while the interface is not there
	promisc    *promiscuous    // nil: not asked for
}

func newWatch(k *bpf.Kernel, o RingOptions) *watch {
	return &watch{kernel: k, mode: o.Mode, promisc: o.Promiscuous, log: o.Log}
}

// attachAll attaches to all of the named interfaces. On an error some may be
// attached: call detachAll.
func (w *watch) attachAll(names []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range names {
		p := &port{name: name}
		w.ports = append(w.ports, p)
		if err := w.attach(p); err != nil {
			return err
		}
	}
	return nil
}

// attach puts the programs on an interface that exists.
func (w *watch) attach(p *port) error {
	link, err := netlink.LinkByName(p.name)
	if err != nil {
		return fmt.Errorf("interface %s: %w (there are: %s)", p.name, err, strings.Join(interfaceNames(), ", "))
	}
	p.index = link.Attrs().Index
	mode := bpf.Mode(w.mode)
	if w.mode == ModeAuto {
		mode = bpf.AutoMode()
	}
	p.attachment, err = w.kernel.Attach(p.index, mode)
	if err != nil {
		return fmt.Errorf("interface %s: %w", p.name, err)
	}
	if w.promisc {
		if p.promisc, err = beginPromiscuous(p.index); err != nil {
			return fmt.Errorf("interface %s: %w", p.name, err)
		}
	}
	w.warn(p)
	return nil
}

// warn says what others on the interface keep from us.
func (w *watch) warn(p *port) {
	n, err := bpf.FindNeighbours(p.index)
	if err != nil {
		w.log.Warn("cannot tell what else is attached", "interface", p.name, "error", err)
		return
	}
	for _, what := range hidden(n) {
		w.log.Warn("traffic may be hidden", "interface", p.name, "by", what)
	}
}

// follow hears of interfaces that come and go until stop is closed.
func (w *watch) follow(stop <-chan struct{}) {
	updates := make(chan netlink.LinkUpdate, 64)
	done := make(chan struct{})
	defer close(done)
	err := netlink.LinkSubscribeWithOptions(updates, done, netlink.LinkSubscribeOptions{
		ErrorCallback: func(err error) {
			select {
			case <-stop: // the end of the subscription is no error
			default:
				w.log.Warn("watch interfaces", "error", err)
			}
		},
	})
	if err != nil {
		w.log.Warn("cannot watch interfaces: one that is deleted and made again will not be captured", "error", err)
		<-stop
		return
	}
	for {
		select {
		case <-stop:
			return
		case u, ok := <-updates:
			if !ok {
				<-stop
				return
			}
			w.update(u)
		}
	}
}

func (w *watch) update(u netlink.LinkUpdate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.ports {
		switch {
		case u.Header.Type == unix.RTM_DELLINK && p.attachment != nil && int(u.Index) == p.index && !p.attachment.Alive():
			w.log.Warn("interface is gone, waiting for it to come back", "interface", p.name)
			p.detach()
		case u.Header.Type == unix.RTM_NEWLINK && p.attachment == nil && u.Attrs().Name == p.name:
			if err := w.attach(p); err != nil {
				w.log.Error("attach again", "error", err)
				continue
			}
			w.log.Info("interface is back", "interface", p.name, "attached", p.attachment.Describe())
		}
	}
}

// describe says how each interface is captured.
func (w *watch) describe() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, p := range w.ports {
		if p.attachment != nil {
			out = append(out, p.name+": "+p.attachment.Describe())
		}
	}
	return out
}

func (w *watch) detachAll() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for _, p := range w.ports {
		if p.attachment != nil {
			errs = append(errs, p.detach())
		}
	}
	return errors.Join(errs...)
}

// detach takes the programs off and ends promiscuous mode.
func (p *port) detach() error {
	err := p.attachment.Close()
	p.attachment = nil
	p.promisc.end()
	p.promisc = nil
	return err
}

func interfaceNames() []string {
	links, err := netlink.LinkList()
	if err != nil {
		return nil
	}
	var names []string
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	return names
}
