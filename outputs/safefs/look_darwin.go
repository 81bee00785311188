package safefs

import "golang.org/x/sys/unix"

// forPassing is O_SEARCH: the right to pass through a folder is enough.
const forPassing = 0x40000000 | unix.O_DIRECTORY

func freeBytes(st *unix.Statfs_t) int64 { return int64(st.Bavail) * int64(st.Bsize) }
