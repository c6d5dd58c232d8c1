// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"io"
	"time"
)

// Connect joins in and out to the socket of an init that listens at path in the
// same sandbox. It is what berth runs through an engine's exec. The socket is
// waited for until timeout has passed. The end of in is passed on as a half
// close; Connect returns when the socket's side has ended, and does not wait for
// in, whose reader stays behind until the process exits.
func Connect(path string, timeout time.Duration, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	s, err := dial(ctx, path)
	if err != nil {
		return err
	}
	defer s.close()
	go func() {
		_, _ = io.Copy(s, in)
		_ = s.closeWrite()
	}()
	_, err = io.Copy(out, s)
	return err
}
