// SPDX-License-Identifier: Apache-2.0

// Package memory keeps the process within the memory that it may have: it sets the soft limit of
// Go's runtime to what the container allows, and gives memory back to the system when the need for
// it has passed. It knows the process and nothing of the broker.
package memory

import (
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// share is the part of the container's memory that becomes the limit: the runtime does not count
// stacks of C, the page cache and the like, and the kernel kills what passes the limit by one page.
const share = 0.9

// environment is the runtime's own setting, which it has read at its start.
const environment = "GOMEMLIMIT"

// SetLimit sets the runtime's soft limit: to the setting when it is not 0, else to what the
// environment says, else to most of what the container may have. It logs which. It is called once,
// at the start.
func SetLimit(setting int, log *slog.Logger) {
	source := "setting"
	switch container, ok := containerLimit(os.DirFS("/")); {
	case setting > 0:
		debug.SetMemoryLimit(int64(setting))
	case Limit() != math.MaxInt64:
		source = environment
	case ok:
		debug.SetMemoryLimit(int64(share * float64(container)))
		source = "container"
	default:
		source = "none"
	}
	args := []any{"reason", source, "setting", "memory-limit"}
	if limit := Limit(); limit != math.MaxInt64 {
		args = append(args, "bytes", limit)
	}
	log.Info("memory limit set", args...)
}

// Limit is the runtime's soft limit in bytes, math.MaxInt64 when there is none.
func Limit() int64 { return debug.SetMemoryLimit(-1) }

// containerLimit is the memory that the process's control group may have: the least that it or one
// above it is allowed, in version 2 of control groups or version 1.
func containerLimit(root fs.FS) (limit int64, ok bool) {
	const unlimited = 1 << 60 // version 1 has a huge number for none
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	least := int64(unlimited)
	for line := range strings.Lines(string(groups)) {
		// "0::/path" in version 2, "5:memory:/path" in version 1.
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case parts[0] == "0" && parts[1] == "":
			least = min(least, leastOf(root, "sys/fs/cgroup", parts[2], "memory.max"), leastOf(root, "sys/fs/cgroup", parts[2], "memory.high"))
		case hasController(parts[1], "memory"):
			least = min(least, leastOf(root, "sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes"))
		}
	}
	return least, least < unlimited
}

// leastOf is the least number in the files of the group and of those above it. In a container the
// group may not be visible under its name, but the mount then begins with it.
func leastOf(root fs.FS, mount, group, file string) int64 {
	least := int64(math.MaxInt64)
	for dir := path.Join("/", group); ; dir = path.Dir(dir) {
		text, err := fs.ReadFile(root, path.Join(mount, dir, file))
		if err == nil {
			// else "max"
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
				least = min(least, n)
			}
		}
		if dir == "/" {
			return least
		}
	}
}

func hasController(list, name string) bool {
	for controller := range strings.SplitSeq(list, ",") {
		if controller == name {
			return true
		}
	}
	return false
}
