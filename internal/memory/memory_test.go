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
	"time"

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

// The setting comes before the environment, and the environment before the container. What is in
// force is logged.
func TestSetLimit(t *testing.T) {
	before := Limit()
	defer debug.SetMemoryLimit(before)
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	SetLimit(100<<20, log)
	if Limit() != 100<<20 || !strings.Contains(out.String(), "reason=setting") || !strings.Contains(out.String(), "bytes=104857600") {
		t.Errorf("limit %d: %s", Limit(), out.String())
	}
	out.Reset()
	debug.SetMemoryLimit(1 << 30) // as the runtime does when the environment says so
	SetLimit(0, log)
	if Limit() != 1<<30 || !strings.Contains(out.String(), "reason="+environment) {
		t.Errorf("limit %d: %s", Limit(), out.String())
	}
}

// Memory is given back when the process is quiet and was not before, and not again until it was
// busy.
func TestKeeper_GivesBack(t *testing.T) {
	const mib = 1 << 20
	given := usage{cycles: 6, moved: 890 * mib, held: 600 * mib}
	for name, c := range map[string]struct {
		now, given usage
		want       bool
	}{
		"after a burst":     {usage{moved: 901 * mib, held: 600 * mib}, usage{}, true},
		"given back before": {usage{moved: 901 * mib, held: 600 * mib}, given, false},
		"hardly anything":   {usage{moved: 901 * mib, held: 30 * mib}, usage{}, false},
	} {
		if got := c.now.worth(c.given); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	k := &Keeper{}
	k.before, k.calm = k.usage(), time.Now().Add(-quiet)
	k.Freed(worthIt)
	k.given.moved = k.before.moved
	held = make([]byte, 2*worthIt)
	for i := range held {
		held[i] = 1
	}
	held = nil
	k.before = k.usage() // whatever has been collected meanwhile
	cycles := k.before.cycles
	k.look()
	if after := k.usage(); after.cycles == cycles || k.given.cycles == 0 {
		t.Errorf("nothing was given back: %+v", after)
	}
	cycles = k.usage().cycles
	k.before, k.calm = k.usage(), time.Now().Add(-quiet)
	k.look()
	if after := k.usage(); after.cycles != cycles {
		t.Errorf("given back twice: %+v", after)
	}
}

var held []byte // the compiler must not drop it

// The heap is collected when it has grown by a fixed size, and not again at once.
func TestKeeper_Growth(t *testing.T) {
	debug.SetGCPercent(-1)
	defer debug.SetGCPercent(100)
	k := &Keeper{}
	for range 3 {
		held = make([]byte, maxGrowth/2)
	}
	held = nil
	k.before, k.calm = k.usage(), time.Now()
	if !k.before.grown() {
		t.Fatalf("the heap has not grown: %+v", k.before)
	}
	k.look()
	if after := k.usage(); after.cycles == k.before.cycles || after.grown() || !k.rest.After(time.Now().Add(-time.Minute)) {
		t.Errorf("after a look: %+v", after)
	}
}

func TestKeeper_Run(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	new(Keeper).Run(ctx)
}
