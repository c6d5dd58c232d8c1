// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package dockerharness

import (
	"context"
	"errors"

	"github.com/berthrun/berth/conformance"
	"github.com/berthrun/berth/internal/enginetest"
)

func outside(context.Context, *enginetest.Client) (conformance.Endpoint, func(), error) {
	return conformance.Endpoint{}, nil, errors.New("engines are started for tests on Linux only")
}
