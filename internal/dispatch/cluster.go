// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spanwire/spanwire/internal/sio"
)

// RetireEverywhere forgets an absent service in the whole cluster; see Retire. ctx bounds the wait
// for other replicas, and those that did not answer are named: they may still know the service. An
// error has CodeNotFound when no replica knew the service, and CodeConflict when it has instances.
func (d *Dispatcher) RetireEverywhere(ctx context.Context, name sio.ServiceName) (r sio.Retired, silent []sio.ReplicaID, err error) {
	const op = "retire"
	if r = d.Retire(name); len(r.Instances) == 0 {
		found := d.ask(ctx, &sio.RetireService{Service: name})
		r.Add(&found.Retired)
		silent = found.Silent
	}
	switch n := len(r.Instances); {
	case n > 0:
		const most = 5
		names := make([]string, min(n, most))
		for i := range names {
			names[i] = string(r.Instances[i])
		}
		return r, silent, sio.E(sio.CodeConflict, op, fmt.Sprintf(
			"the service %q has %d attached instance(s), such as %s; only an absent service can be retired: stop its instances first",
			name, n, strings.Join(names, ", ")))
	case !r.Known && len(silent) > 0:
		return r, silent, sio.E(sio.CodeNotFound, op, fmt.Sprintf(
			"no replica that answered knows a service %q; these did not answer: %s", name, joined(silent)))
	case !r.Known:
		return r, nil, sio.E(sio.CodeNotFound, op, fmt.Sprintf("no replica knows a service %q", name))
	}
	return r, silent, nil
}

// RetireElsewhere tells the other replicas, before it returns, that the service leaves with the
// instance; see RetireWith. finish, to be called once, waits until they answered or ctx ended.
func (d *Dispatcher) RetireElsewhere(ctx context.Context, name sio.ServiceName, instance sio.InstanceID) (finish func()) {
	collect := d.query(ctx, &sio.RetireService{Service: name, Instance: instance})
	return func() {
		if silent := collect().Silent; len(silent) > 0 {
			d.log.Warn("retire not confirmed by all peers; repeat the command", "service", name,
				"peer", joined(silent), "command", "broker services retire "+string(name))
		}
	}
}

// AbsentElsewhere lists the absent services as the other replicas see them, and the replicas that
// did not answer until ctx ended.
func (d *Dispatcher) AbsentElsewhere(ctx context.Context) (all []sio.Absent, silent []sio.ReplicaID) {
	found := d.ask(ctx, &sio.ListAbsent{})
	return found.Absent, found.Silent
}

func (d *Dispatcher) ask(ctx context.Context, q sio.Query) sio.Found { return d.query(ctx, q)() }

// query asks the other replicas, if there are any. Where they cannot be asked, all of them are
// silent.
func (d *Dispatcher) query(ctx context.Context, q sio.Query) (collect func() sio.Found) {
	var others func() (sio.Found, error)
	if d.options.Others != nil {
		others = d.options.Others.Query(ctx, q)
	}
	if others == nil {
		return func() sio.Found { return sio.Found{} }
	}
	return func() sio.Found {
		found, err := others()
		if err != nil {
			d.log.Warn("peers not asked", "err", err)
		}
		return found
	}
}

func joined(replicas []sio.ReplicaID) string {
	names := make([]string, len(replicas))
	for i, r := range replicas {
		names[i] = string(r)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
