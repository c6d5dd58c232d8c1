// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"context"
	"io"
	"iter"
	"time"
)

// Unwrapper is implemented by a Driver that wraps another one.
type Unwrapper interface {
	Unwrap() Driver
}

// As returns d, or the first driver below it that implements T, one of the
// optional interfaces of this package.
func As[T any](d Driver) (T, bool) {
	for d != nil {
		if t, ok := d.(T); ok {
			return t, true
		}
		u, ok := d.(Unwrapper)
		if !ok {
			break
		}
		d = u.Unwrap()
	}
	var zero T
	return zero, false
}

// Image is what berth needs to know of an image that the engine has.
type Image struct {
	// ID is the engine's content id; it never names other content.
	ID string `json:"id"`
	// Refs are the names that point to it.
	Refs []string `json:"refs"`
	// Digests are the registry digests it is known by.
	Digests  []string  `json:"digests"`
	Size     int64     `json:"size"`
	Created  time.Time `json:"created,omitzero"`
	Platform string    `json:"platform"`
	// The rest is the image's configuration.
	Entrypoint []string `json:"entrypoint"`
	Cmd        []string `json:"cmd"`
	Env        []string `json:"-"`
	User       string   `json:"user,omitempty"`
	Workdir    string   `json:"workdir,omitempty"`
	StopSignal string   `json:"stopSignal,omitempty"`
}

// PullProgress is a step of a pull. Total is 0 while it is not known.
type PullProgress struct {
	// Layer is a short id; empty for the image as a whole.
	Layer string
	// Status is the engine's word, such as "Downloading". Hostile text.
	Status         string
	Current, Total int64
}

// PullOptions are the options of Imager.PullImage. Nil means all defaults.
type PullOptions struct {
	Platform string
	// Progress is called from one goroutine at a time. May be nil.
	Progress func(PullProgress)
}

// Imager is implemented by drivers of engines that keep images.
type Imager interface {
	// Image returns the image that ref names for platform (empty: the engine's
	// own). NotFound when the engine has none.
	Image(ctx context.Context, ref, platform string) (*Image, error)
	// PullImage fetches ref with the caller's registry credentials. Denied when
	// the registry refuses, NotFound when it has no such image, Unavailable when
	// it cannot be reached.
	PullImage(ctx context.Context, ref string, opts *PullOptions) (*Image, error)
	// LoadImage reads an archive as "docker save" writes it, or an OCI layout in
	// a tar, and returns the images in it. Invalid when it is neither.
	LoadImage(ctx context.Context, archive io.Reader) ([]*Image, error)
	// Images yields all images of the engine.
	Images(ctx context.Context) iter.Seq2[*Image, error]
	// RemoveImage removes a name, and the image when it was the last. Absent:
	// NotFound. In use: Conflict, unless force.
	RemoveImage(ctx context.Context, ref string, force bool) error
	// ImageFiles returns the content of those regular files among paths that
	// the image has, without running anything from it, final symbolic links
	// not followed out of the image. Files above limit bytes: Invalid.
	ImageFiles(ctx context.Context, img *Image, paths []string, limit int64) (map[string][]byte, error)
}

// Pauser is implemented by drivers that can freeze a sandbox.
type Pauser interface {
	// Pause freezes every process. Paused already: nil. Not running: Conflict.
	Pause(ctx context.Context, id ID) error
	// Resume thaws. Running: nil. Not running: Conflict.
	Resume(ctx context.Context, id ID) error
}

// Signaller is implemented by drivers that can signal PID 1 of a sandbox, which
// passes the signal on.
type Signaller interface {
	// Signal sends the named signal, such as "SIGINT". Not running: Conflict.
	Signal(ctx context.Context, id ID, signal string) error
}

// Copier is implemented by drivers that can move files in tar form.
type Copier interface {
	// CopyTo extracts archive below dir, which must exist. Entries keep their
	// uid and gid. A read-only place: Conflict.
	CopyTo(ctx context.Context, id ID, dir string, archive io.Reader) error
	// CopyFrom returns a tar of path, whose entries start with its base name.
	// The content is hostile. Absent: NotFound. The caller closes it.
	CopyFrom(ctx context.Context, id ID, path string) (io.ReadCloser, error)
}

// Usage is a moment's resource use of a sandbox.
type Usage struct {
	Time time.Time `json:"time"`
	// CPU is processor time used since the start.
	CPU time.Duration `json:"cpuNanoseconds"`
	// Memory is bytes in use without page cache that can be dropped;
	// MemoryLimit is 0 when there is no limit of the sandbox's own.
	Memory      uint64 `json:"memory"`
	MemoryLimit uint64 `json:"memoryLimit"`
	Pids        uint64 `json:"pids"`
	NetRx       uint64 `json:"netRx"`
	NetTx       uint64 `json:"netTx"`
	BlockRead   uint64 `json:"blockRead"`
	BlockWrite  uint64 `json:"blockWrite"`
}

// StatsReader is implemented by drivers that can measure.
type StatsReader interface {
	// Stats measures now. Not running: Conflict.
	Stats(ctx context.Context, id ID) (*Usage, error)
}

// Event is a change in a sandbox's life.
type Event struct {
	Time  time.Time `json:"time"`
	ID    ID        `json:"id"`
	Phase Phase     `json:"phase"`
	// Removed says that the sandbox is gone.
	Removed bool `json:"removed,omitempty"`
}

// Watcher is implemented by drivers that report changes.
type Watcher interface {
	// Watch yields changes of berth's sandboxes from now on until ctx ends.
	Watch(ctx context.Context) iter.Seq2[Event, error]
}

// NetworkInfo is a named network.
type NetworkInfo struct {
	Name string `json:"name"`
	// Internal says that members reach each other and nothing else.
	Internal bool `json:"internal"`
	// Managed says that berth made it.
	Managed  bool   `json:"managed"`
	NativeID string `json:"nativeId"`
	// Members is how many sandboxes have joined.
	Members int `json:"members"`
}

// Networker is implemented by drivers that have named networks.
type Networker interface {
	// CreateNetwork makes a network for the modes shared and internal. The same
	// name and kind: nil. Another kind, or not berth's: Exists.
	CreateNetwork(ctx context.Context, name string, internal bool) (*NetworkInfo, error)
	// Networks yields the networks that sandboxes can join, berth's own plumbing
	// left out.
	Networks(ctx context.Context) iter.Seq2[NetworkInfo, error]
	// RemoveNetwork removes a network that berth made. Absent: NotFound. In use:
	// Conflict. Not berth's: Denied.
	RemoveNetwork(ctx context.Context, name string) error
}

// Committer is implemented by drivers that can make an image of a sandbox.
type Committer interface {
	// Commit makes an image named ref from the sandbox's file system, mounts
	// left out.
	Commit(ctx context.Context, id ID, ref string) (*Image, error)
}
