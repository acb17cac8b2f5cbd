// SPDX-License-Identifier: Apache-2.0

package backplane

import (
	"time"

	backplanev1 "github.com/spanwire/spanwire/api/gen/spanwire/backplane/v1"
	"github.com/spanwire/spanwire/internal/contract"
	"github.com/spanwire/spanwire/internal/sio"
)

// absenceToWire writes what a replica found of absent services.
func absenceToWire(m *backplanev1.QueryAnswer, f *sio.Found) {
	if r := &f.Retired; r.Known || len(r.Instances) > 0 {
		m.Retired = &backplanev1.Retired{
			Known: r.Known, InstanceIds: contract.ToStrings(r.Instances), Connects: uint32(r.Connects), Dropped: uint32(r.Dropped),
		}
	}
	for _, x := range f.Absent {
		m.Absent = append(m.Absent, &backplanev1.AbsentService{
			Service: string(x.Service), SinceMs: x.Since.UnixMilli(), HeldConnects: uint32(x.Held), Registrations: contract.RegistrationsToProto(x.Declared),
		})
	}
}

func absenceFromWire(f *sio.Found, m *backplanev1.QueryAnswer) {
	if r := m.GetRetired(); r != nil {
		f.Retired = sio.Retired{
			Known: r.GetKnown(), Instances: contract.FromStrings[sio.InstanceID](r.GetInstanceIds()), Connects: int(r.GetConnects()),
			Dropped: int(r.GetDropped()),
		}
	}
	for _, x := range m.GetAbsent() {
		f.Absent = append(f.Absent, sio.Absent{
			Service: sio.ServiceName(x.GetService()), Since: time.UnixMilli(x.GetSinceMs()), Held: int(x.GetHeldConnects()),
			Declared: contract.RegistrationsFromProto(x.GetRegistrations()),
		})
	}
}
