// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/docker/cli/cli/config"
	clicontext "github.com/docker/cli/cli/context"
	"github.com/docker/cli/cli/context/docker"
	"github.com/docker/cli/cli/context/store"
	"github.com/docker/docker/client"
)

// Name is the driver's name.
const Name = "docker"

// Timeouts towards the engine. Requests have none of their own: pulls and waits
// take as long as they take, and every caller has a context.
const (
	dialTimeout = 10 * time.Second
	// cleanupTimeout bounds what is done after a failure, when the caller's
	// context may have ended.
	cleanupTimeout = 30 * time.Second
)

// driver is one engine at one address. All its fields but the caches are set
// once by Open.
type driver struct {
	cli    *client.Client
	cfg    backend.Config
	host   string // the address as the user would write it
	base   string // the same for raw HTTP requests: scheme, authority and prefix
	remote bool

	// probing is held while Probe talks to the engine; it is a channel so that
	// waiting for it ends with the context.
	probing chan struct{}
	mu      sync.Mutex
	info    *backend.Info
	natives map[backend.ID]string // container ids seen; always checked by use
	// attached are the streams of main processes, for Start.
	attached map[backend.ID][]*process
}

var _ backend.Opener = Open

// Client returns the API client of a driver that this package opened, also
// through wrappers. What is done with it is outside berth's promises.
func Client(d backend.Driver) (*client.Client, bool) {
	own, ok := backend.As[interface{ dockerClient() *client.Client }](d)
	if !ok {
		return nil, false
	}
	return own.dockerClient(), true
}

func (d *driver) dockerClient() *client.Client { return d.cli }

// Name returns "docker".
func (d *driver) Name() string { return Name }

// Close drops the idle connections. Attached streams go on.
func (d *driver) Close() error { return d.cli.Close() }

// Open makes a driver for the engine that cfg.Host names, else DOCKER_HOST, else
// DOCKER_CONTEXT or the current context of docker's configuration, else the
// default socket; DOCKER_TLS_VERIFY, DOCKER_TLS, DOCKER_CERT_PATH, DOCKER_CONFIG
// and DOCKER_API_VERSION have the meaning that they have for docker. It does not
// talk to the engine. Invalid for an address, context or certificate that cannot
// be used.
func Open(_ context.Context, cfg backend.Config) (backend.Driver, error) {
	d := &driver{cfg: cfg, probing: make(chan struct{}, 1), natives: map[backend.ID]string{}, attached: map[backend.ID][]*process{}}
	ep, err := d.endpoint()
	if err != nil {
		return nil, err
	}
	scheme, rest, ok := strings.Cut(ep.Host, "://")
	if !ok || rest == "" || !supported(scheme) {
		return nil, newError(backend.Invalid, "open", "", "", "address %q: want unix:///path, tcp://host:port or ssh://user@host", ep.Host)
	}
	d.host = ep.Host
	d.remote = scheme != "unix" && scheme != "npipe"

	opts, err := ep.ClientOpts()
	if err != nil {
		return nil, &backend.Error{Kind: backend.Invalid, Op: "docker.open", Message: fmt.Sprintf("address %q", ep.Host), Err: err}
	}
	if scheme == "tcp" && ep.TLSData == nil && !ep.SkipTLSVerify {
		// The library's own dialer has no timeout here.
		dial := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
		opts = append(opts, client.WithDialContext(dial.DialContext))
	}
	if v := d.env("DOCKER_API_VERSION"); v != "" {
		opts = append(opts, client.WithVersion(v))
	}
	if d.cli, err = client.NewClientWithOpts(append(opts, client.WithUserAgent("berth"))...); err != nil {
		return nil, &backend.Error{Kind: backend.Invalid, Op: "docker.open", Message: fmt.Sprintf("address %q", ep.Host), Err: err}
	}
	d.base = "http://docker"
	if scheme == "tcp" {
		d.base = "http://" + strings.TrimSuffix(rest, "/")
		if ep.TLSData != nil || ep.SkipTLSVerify {
			d.base = "https://" + strings.TrimSuffix(rest, "/")
		}
	}
	return d, nil
}

func supported(scheme string) bool {
	switch scheme {
	case "unix", "npipe", "tcp", "ssh":
		return true
	}
	return false
}

func (d *driver) env(name string) string {
	v, _ := d.cfg.Getenv(name)
	return v
}

// configDir is docker's configuration directory.
func (d *driver) configDir() string {
	if dir := d.env("DOCKER_CONFIG"); dir != "" {
		return dir
	}
	return filepath.Join(d.cfg.Home, ".docker")
}

// endpoint decides which engine is meant and with which certificates.
func (d *driver) endpoint() (*docker.Endpoint, error) {
	host := d.cfg.Host
	if host == "" {
		host = d.env("DOCKER_HOST")
	}
	if host == "" {
		name := d.env("DOCKER_CONTEXT")
		if name == "" {
			// A broken configuration file must not hide behind the default socket.
			file, err := config.Load(d.configDir())
			if err != nil {
				return nil, &backend.Error{Kind: backend.Invalid, Op: "docker.open", Message: "docker's configuration", Err: err}
			}
			name = file.CurrentContext
		}
		if name != "" && name != "default" {
			return d.contextEndpoint(name)
		}
		host = client.DefaultDockerHost
	}
	ep := &docker.Endpoint{EndpointMeta: docker.EndpointMeta{Host: host}}
	tls, err := d.tls(host)
	if err != nil {
		return nil, err
	}
	ep.TLSData = tls
	// As "docker --tls" does: encrypted, and the server is not checked.
	ep.SkipTLSVerify = tls != nil && d.env("DOCKER_TLS_VERIFY") == "" && d.env("DOCKER_TLS") != ""
	return ep, nil
}

// tls reads the certificates that the environment asks for.
func (d *driver) tls(host string) (*clicontext.TLSData, error) {
	if !strings.HasPrefix(host, "tcp://") {
		return nil, nil
	}
	dir := d.env("DOCKER_CERT_PATH")
	if dir == "" {
		if d.env("DOCKER_TLS_VERIFY") == "" && d.env("DOCKER_TLS") == "" {
			return nil, nil
		}
		dir = d.configDir()
	}
	data, err := clicontext.TLSDataFromFiles(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		return nil, &backend.Error{Kind: backend.Invalid, Op: "docker.open", Message: "TLS certificates for " + host + " (DOCKER_CERT_PATH)", Err: err}
	}
	return data, nil
}

// contextEndpoint reads one of docker's contexts.
func (d *driver) contextEndpoint(name string) (*docker.Endpoint, error) {
	bad := func(err error) error {
		return &backend.Error{Kind: backend.Invalid, Op: "docker.open", Message: fmt.Sprintf("docker context %q", name), Err: err}
	}
	dir := filepath.Join(d.configDir(), "contexts")
	if _, err := os.Stat(dir); err != nil {
		return nil, bad(err)
	}
	s := store.New(dir, store.NewConfig(
		func() any { return &map[string]any{} },
		store.EndpointTypeGetter(docker.DockerEndpoint, func() any { return &docker.EndpointMeta{} }),
	))
	meta, err := s.GetMetadata(name)
	if err != nil {
		return nil, bad(err)
	}
	epMeta, err := docker.EndpointFromContext(meta)
	if err != nil {
		return nil, bad(err)
	}
	ep, err := docker.WithTLSData(s, name, epMeta)
	if err != nil {
		return nil, bad(err)
	}
	return &ep, nil
}
