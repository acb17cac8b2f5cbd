// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"bytes"
	"context"
	"log/slog"
	"runtime/debug"
	"strings"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContainerLimit(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  int64 // 0 for none
	}{
		"no control groups": {nil, 0},
		"version 2 in a container": {map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n"}, 512 << 20},
		"version 2 without a limit": {map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.high": "max\n"}, 0},
		"version 2, a group above": {map[string]string{
			"proc/self/cgroup": "0::/kube/pod/broker\n", "sys/fs/cgroup/kube/pod/broker/memory.max": "max\n",
			"sys/fs/cgroup/kube/pod/memory.max": "268435456\n", "sys/fs/cgroup/kube/memory.max": "1073741824\n"}, 256 << 20},
		"version 2, throttled earlier": {map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n", "sys/fs/cgroup/memory.high": "402653184\n"}, 384 << 20},
		"version 1": {map[string]string{
			"proc/self/cgroup": "12:cpu,cpuacct:/docker/x\n5:memory:/docker/x\n1:name=systemd:/docker/x\n",
			"sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes": "134217728\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 128 << 20},
		"version 1 in a container": {map[string]string{
			"proc/self/cgroup": "5:memory:/docker/x\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "134217728\n"}, 128 << 20},
		"version 1 without a limit": {map[string]string{
			"proc/self/cgroup": "5:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		"nonsense": {map[string]string{
			"proc/self/cgroup": "what\n\n0:x\n0::/../..\n", "sys/fs/cgroup/memory.max": "many\n"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			root := fstest.MapFS{}
			for path, text := range c.files {
				root[path] = &fstest.MapFile{Data: []byte(text)}
			}
			got, ok := containerLimit(root)
			if ok != (c.want > 0) || ok && got != c.want {
				t.Errorf("got %d, %v; want %d", got, ok, c.want)
			}
		})
	}
}

// The setting comes before the environment, and the environment before the container. What is in force is logged.
func TestSetLimit(t *testing.T) {
	before := Limit()
	defer debug.SetMemoryLimit(before)
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	SetLimit(100<<20, log)
	if Limit() != 100<<20 || !strings.Contains(out.String(), "source=setting") || !strings.Contains(out.String(), "bytes=104857600") {
		t.Errorf("limit %d: %s", Limit(), out.String())
	}
	out.Reset()
	debug.SetMemoryLimit(1 << 30) // as the runtime does when the environment says so
	SetLimit(0, log)
	if Limit() != 1<<30 || !strings.Contains(out.String(), "source="+environment) {
		t.Errorf("limit %d: %s", Limit(), out.String())
	}
}

// Memory is given back when the process is quiet and was not before, and not again until it was busy.
func TestUsage_Due(t *testing.T) {
	const mib = 1 << 20
	before := usage{cycles: 7, allocated: 900 * mib, held: 600 * mib}
	for name, c := range map[string]struct {
		now, given usage
		want       bool
	}{
		"quiet after a burst": {usage{7, 901 * mib, 600 * mib}, usage{}, true},
		"busy":                {usage{8, 950 * mib, 600 * mib}, usage{}, false},
		"given back already":  {usage{7, 901 * mib, 600 * mib}, usage{6, 890 * mib, 600 * mib}, false},
		"hardly anything":     {usage{7, 901 * mib, 30 * mib}, usage{}, false},
	} {
		if got := c.now.due(before, c.given); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	GiveBack(ctx)
	if u := read(); u.allocated == 0 || u.held == 0 {
		t.Errorf("read %+v", u)
	}
}
