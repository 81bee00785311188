package watch

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

// npcapPrefix and the GUID of an interface are its name for Npcap.
const (
	npcapPrefix   = `\Device\NPF_`
	npcapLoopback = npcapPrefix + "Loopback"
)

// listInterfaces lists each interface under the name that Npcap has for it. What the
// user sees elsewhere, such as Ethernet, is another name.
func listInterfaces() (map[int]netInterface, error) {
	first, err := adapters()
	if err != nil {
		return nil, err
	}
	all := make(map[int]netInterface)
	for a := first; a != nil; a = a.Next {
		i := netInterface{index: int(a.IfIndex), name: npcapPrefix + windows.BytePtrToString(a.AdapterName), up: a.OperStatus == windows.IfOperStatusUp}
		if i.index == 0 { // without IPv4
			i.index = int(a.Ipv6IfIndex)
		}
		if a.IfType == windows.IF_TYPE_SOFTWARE_LOOPBACK {
			i.name = npcapLoopback
		}
		for _, name := range []*uint16{a.FriendlyName, a.Description} {
			if name != nil {
				i.alts += "\x00" + windows.UTF16PtrToString(name) + "\x00"
			}
		}
		all[i.index] = i
	}
	return all, nil
}

// adapters is the list that Windows keeps.
func adapters() (*windows.IpAdapterAddresses, error) {
	const skip = windows.GAA_FLAG_SKIP_UNICAST | windows.GAA_FLAG_SKIP_ANYCAST | windows.GAA_FLAG_SKIP_MULTICAST | windows.GAA_FLAG_SKIP_DNS_SERVER
	for size := uint32(16 << 10); ; {
		b := make([]byte, size)
		first := (*windows.IpAdapterAddresses)(unsafe.Pointer(&b[0]))
		err := windows.GetAdaptersAddresses(windows.AF_UNSPEC, skip, 0, first, &size)
		switch {
		case errors.Is(err, windows.ERROR_BUFFER_OVERFLOW) && size > uint32(len(b)): // size is now what it takes
		case errors.Is(err, windows.ERROR_NO_DATA):
			return nil, nil
		default:
			return first, err
		}
	}
}

// DeviceName returns the name that Npcap has for an interface.
func DeviceName(index int) (string, error) {
	all, err := listInterfaces()
	if err != nil {
		return "", fmt.Errorf("list interfaces: %w", err)
	}
	i, ok := all[index]
	if !ok {
		return "", fmt.Errorf("there is no interface %d any more", index)
	}
	return i.name, nil
}
