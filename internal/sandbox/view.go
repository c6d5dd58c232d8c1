// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"cmp"
	"slices"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
)

// View is a sandbox's neutral status as users see it: the same spec gives the
// same View on every backend apart from ids, times, addresses, the inner user
// and Engine. Environment values are left out.
type View struct {
	ID         backend.ID              `json:"id"`
	Name       string                  `json:"name"`
	Phase      backend.Phase           `json:"phase"`
	Spec       *spec.Sandbox           `json:"spec"`
	Digest     string                  `json:"digest"`
	CreatedAt  *time.Time              `json:"createdAt"`
	StartedAt  *time.Time              `json:"startedAt"`
	FinishedAt *time.Time              `json:"finishedAt"`
	Exit       *backend.Exit           `json:"exit"`
	User       UserView                `json:"user"`
	Ports      []backend.PortStatus    `json:"ports"`
	Networks   []backend.NetworkStatus `json:"networks"`
	Overlays   []OverlayView           `json:"overlays"`
	Engine     backend.EngineStatus    `json:"engine"`
}

// UserView is who the process is inside, and who owns on the host what it
// writes into a bind mount.
type UserView struct {
	Mode    string `json:"mode"`
	UID     uint32 `json:"uid"`
	GID     uint32 `json:"gid"`
	Home    string `json:"home"`
	HostUID uint32 `json:"hostUid"`
	HostGID uint32 `json:"hostGid"`
}

// OverlayView says where the writes of an overlay mount are kept.
type OverlayView struct {
	Target string `json:"target"`
	Lower  string `json:"lower"`
	Upper  string `json:"upper"`
}

// NewView makes the view of a status.
func NewView(st *backend.Status) *View {
	moment := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		t = t.UTC()
		return &t
	}
	rec := &st.Record
	v := &View{
		ID: st.ID, Name: st.Name, Phase: st.Phase, Spec: rec.Spec, Digest: rec.Digest,
		CreatedAt: moment(st.CreatedAt), StartedAt: moment(st.StartedAt), FinishedAt: moment(st.FinishedAt),
		Exit: st.Exit,
		User: UserView{
			Mode: rec.Identity.Mode, UID: rec.Identity.UID, GID: rec.Identity.GID, Home: rec.Identity.Home,
			HostUID: rec.Identity.HostUID, HostGID: rec.Identity.HostGID,
		},
		Ports: st.Ports, Networks: st.Networks, Overlays: []OverlayView{}, Engine: st.Engine,
	}
	if v.Ports == nil {
		v.Ports = []backend.PortStatus{}
	}
	if v.Networks == nil {
		v.Networks = []backend.NetworkStatus{}
	}
	for _, r := range rec.Mounts {
		if r.Upper != "" && rec.Spec != nil && r.Index < len(rec.Spec.Mounts) {
			v.Overlays = append(v.Overlays, OverlayView{Target: rec.Spec.Mounts[r.Index].Target, Lower: r.Source, Upper: r.Upper})
		}
	}
	return v
}

func sortByCreation(list []*backend.Status) {
	slices.SortFunc(list, func(a, b *backend.Status) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
}
