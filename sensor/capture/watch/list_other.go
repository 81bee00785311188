//go:build !linux && !windows

package watch

import "net"

func listInterfaces() (map[int]netInterface, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	all := make(map[int]netInterface)
	for _, i := range list {
		all[i.Index] = netInterface{index: i.Index, name: i.Name, up: i.Flags&net.FlagUp != 0}
	}
	return all, nil
}
