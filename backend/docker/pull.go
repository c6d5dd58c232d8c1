// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/berthrun/berth/backend"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/cli/cli/config"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
)

// indexServer is the key of docker.io in docker's configuration.
const indexServer = "https://index.docker.io/v1/"

// PullImage lets the engine fetch the image, with the credentials that docker's
// configuration or its credential helpers have for the registry.
func (d *driver) PullImage(ctx context.Context, ref string, opts *backend.PullOptions) (*backend.Image, error) {
	const op = "image-pull"
	if opts == nil {
		opts = &backend.PullOptions{}
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return nil, &backend.Error{Kind: backend.Invalid, Op: "docker." + op, Field: "image.ref", Message: fmt.Sprintf("image reference %q", ref), Err: err}
	}
	if _, err := parsePlatform(opts.Platform); err != nil {
		return nil, &backend.Error{Kind: backend.Invalid, Op: "docker." + op, Field: "image.platform", Err: err}
	}
	auth, err := d.registryAuth(reference.Domain(named))
	if err != nil {
		return nil, &backend.Error{Kind: backend.Denied, Op: "docker." + op, Field: "image.ref", Message: "credentials for " + reference.Domain(named), Err: err}
	}
	name := reference.TagNameOnly(named).String()
	r, err := d.cli.ImagePull(ctx, name, image.PullOptions{RegistryAuth: auth, Platform: opts.Platform})
	if err != nil {
		return nil, d.pullError(ctx, ref, err)
	}
	defer r.Close()
	for line, err := range progress(r) {
		if err != nil {
			return nil, d.pullError(ctx, ref, err)
		}
		if opts.Progress != nil {
			opts.Progress(backend.PullProgress{Layer: line.ID, Status: line.Status, Current: line.Progress.Current, Total: line.Progress.Total})
		}
	}
	return d.Image(ctx, name, opts.Platform)
}

// registryAuth is the header for the engine. Empty: no credentials are known.
func (d *driver) registryAuth(domain string) (string, error) {
	file, err := config.Load(d.configDir())
	if err != nil {
		return "", err
	}
	key := domain
	if domain == "docker.io" {
		key = indexServer
	}
	c, err := file.GetAuthConfig(key)
	if err != nil {
		return "", err
	}
	return registry.EncodeAuthConfig(registry.AuthConfig{
		Username: c.Username, Password: c.Password, Auth: c.Auth, ServerAddress: c.ServerAddress,
		IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken,
	})
}

// Texts by which the engine hands a registry's answer on. Its status is 500 or
// 404 for most of them, whatever the registry said.
var (
	pullDenied  = []string{"unauthorized", "denied", "authentication required", "no basic auth credentials", "403 Forbidden", "401 Unauthorized", "UNAUTHORIZED", "DENIED"}
	pullMissing = []string{"manifest unknown", "not found", "no matching manifest", "name unknown", "does not exist", "MANIFEST_UNKNOWN", "NAME_UNKNOWN"}
	pullBusy    = []string{"toomanyrequests", "Too Many Requests"}
	pullGone    = []string{"connection refused", "no such host", "i/o timeout", "TLS handshake", "server misbehaving", "network is unreachable", "x509:", "EOF", "Client.Timeout", "no route to host", "connection reset", "500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway"}
)

// pullError classifies by what the registry said.
func (d *driver) pullError(ctx context.Context, ref string, err error) error {
	e, ok := errors.AsType[*backend.Error](d.fail(ctx, "image-pull", "", err))
	if !ok {
		return ctx.Err()
	}
	has := func(list []string) bool {
		for _, part := range list {
			if strings.Contains(err.Error(), part) {
				return true
			}
		}
		return false
	}
	e.Field = "image.ref"
	switch {
	case has(pullBusy):
		e.Kind, e.Message = backend.Exhausted, "the registry's rate limit is used up"
	case e.Kind == backend.Unavailable, e.Kind == backend.Exhausted: // the engine itself
		e.Field = ""
	case e.Kind == backend.Invalid:
	case has(pullGone):
		e.Kind, e.Message = backend.Unavailable, fmt.Sprintf("the registry of %q cannot be reached from the engine", ref)
	case strings.Contains(err.Error(), "no matching manifest"):
		e.Kind, e.Message, e.Field = backend.NotFound, fmt.Sprintf("image %q is not there for this platform", ref), "image.platform"
	case has(pullDenied), e.Kind == backend.Denied, cerrdefs.IsPermissionDenied(err):
		// Registries do not say whether an image is private or absent.
		e.Kind, e.Message = backend.Denied, fmt.Sprintf("the registry refuses %q: log in with \"docker login\", or the image is not there", ref)
	case has(pullMissing), e.Kind == backend.NotFound:
		e.Kind, e.Message = backend.NotFound, fmt.Sprintf("the registry has no image %q", ref)
	}
	return e
}
