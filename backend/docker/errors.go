// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/client"
)

// statusError is an HTTP answer of the engine to a request that the client
// library does not make.
type statusError struct {
	code    int
	message string
}

func (e *statusError) Error() string {
	if e.message == "" {
		return fmt.Sprintf("the engine answered %d %s", e.code, http.StatusText(e.code))
	}
	return e.message
}

// fail turns a native error into what the contract asks for. It is called once,
// where the native error arrives. The context's own error passes unwrapped, and
// stands for whatever else the end of the context caused.
func (d *driver) fail(ctx context.Context, op string, id backend.ID, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, ok := errors.AsType[*backend.Error](err); ok {
		return err
	}
	e := &backend.Error{Kind: kindOf(err), Op: "docker." + op, ID: id, Err: err}
	if e.Kind == backend.Denied && d.forbidden(ctx) {
		e.Kind = backend.Unavailable
	}
	if e.Kind == backend.Unavailable {
		e.Message = d.unavailable(err)
	}
	return e
}

// forbidden reports whether the engine refuses everything, which is no access,
// and not only the one thing that was asked.
func (d *driver) forbidden(ctx context.Context) bool {
	if d.cli == nil {
		return false
	}
	_, err := d.cli.Ping(ctx)
	return cerrdefs.IsPermissionDenied(err) || cerrdefs.IsUnauthorized(err)
}

// newError makes an error that has no native cause.
func newError(kind backend.Kind, op string, id backend.ID, field spec.Path, format string, args ...any) *backend.Error {
	return &backend.Error{Kind: kind, Op: "docker." + op, ID: id, Field: field, Message: fmt.Sprintf(format, args...)}
}

// exhausted are texts of engine and kernel about bounded things that ran out.
// The engine answers 500 for all of them, so that only the text tells.
var exhausted = []string{
	"no space left on device",
	"disk quota exceeded",
	"non-overlapping IPv4 address pool",         // all networks of the engine's pools are taken
	"all predefined address pools have been",    // the same since docker 26
	"no available IPv4 addresses on this netwo", // the addresses of one network
	"cannot allocate memory",
	"too many open files",
	"resource temporarily unavailable",
}

func kindOf(err error) backend.Kind {
	text := err.Error()
	for _, part := range exhausted {
		if strings.Contains(text, part) {
			return backend.Exhausted
		}
	}
	if status, ok := errors.AsType[*statusError](err); ok {
		return kindOfStatus(status.code)
	}
	switch {
	case client.IsErrConnectionFailed(err), isCut(err):
		return backend.Unavailable
	case cerrdefs.IsNotFound(err):
		return backend.NotFound
	case cerrdefs.IsAlreadyExists(err):
		return backend.Exists
	case cerrdefs.IsConflict(err), cerrdefs.IsFailedPrecondition(err):
		return backend.Conflict
	case cerrdefs.IsInvalidArgument(err):
		return backend.Invalid
	case cerrdefs.IsUnauthorized(err), cerrdefs.IsPermissionDenied(err):
		return backend.Denied
	case cerrdefs.IsResourceExhausted(err):
		return backend.Exhausted
	case cerrdefs.IsUnavailable(err), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		// Not this call's context, or fail would have returned its error.
		return backend.Unavailable
	}
	return backend.Internal
}

func kindOfStatus(code int) backend.Kind {
	switch code {
	case http.StatusBadRequest:
		return backend.Invalid
	case http.StatusUnauthorized, http.StatusForbidden:
		return backend.Denied
	case http.StatusNotFound:
		return backend.NotFound
	case http.StatusConflict:
		return backend.Conflict
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return backend.Unavailable
	}
	return backend.Internal
}

// isCut reports whether err says that the connection ended before the answer,
// as when the engine stops.
func isCut(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed) || errors.As(err, &op)
}

// notDialled reports whether there was no connection in the first place.
func notDialled(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || client.IsErrConnectionFailed(err)
}

// unavailable says what to do about an engine that does not answer.
func (d *driver) unavailable(err error) string {
	var status *statusError
	text := err.Error()
	switch {
	case strings.Contains(text, "tls: ") || strings.Contains(text, "x509: ") || strings.Contains(text, "HTTPS server"):
		return fmt.Sprintf("no TLS connection to %s: check DOCKER_TLS_VERIFY and the ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH", d.host)
	case errors.As(err, &status), cerrdefs.IsPermissionDenied(err), cerrdefs.IsUnauthorized(err):
		return fmt.Sprintf("what answers at %s refuses access or is no docker engine", d.host)
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EACCES):
		return fmt.Sprintf("permission denied on %s: add your user to the group docker and log in again, or use rootless docker or another backend", d.host)
	case isCut(err) && !notDialled(err):
		return fmt.Sprintf("the docker engine at %s went away", d.host)
	}
	return fmt.Sprintf("no docker engine answers at %s: start it, or name another one with --host, DOCKER_HOST or --backend", d.host)
}
