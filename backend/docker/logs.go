// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/docker/docker/api/types/container"
)

// entryLimit bounds one log entry; longer ones are yielded in pieces.
const entryLimit = 64 << 10

// Logs reads the engine's copy of the output.
func (d *driver) Logs(ctx context.Context, id backend.ID, opts *backend.LogOptions) iter.Seq2[backend.LogEntry, error] {
	if opts == nil {
		opts = &backend.LogOptions{}
	}
	return func(yield func(backend.LogEntry, error) bool) {
		c, err := d.find(ctx, "logs", id)
		if err != nil {
			yield(backend.LogEntry{}, err)
			return
		}
		o := container.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: opts.Follow, Tail: "all"}
		switch {
		case opts.Tail > 0:
			o.Tail = strconv.Itoa(opts.Tail)
		case opts.Tail < 0:
			o.Tail = "0"
		}
		if !opts.Since.IsZero() {
			o.Since = opts.Since.UTC().Format(time.RFC3339Nano)
		}
		// The reader ends when the consumer does.
		inner, cancel := context.WithCancel(ctx)
		defer cancel()
		r, err := d.cli.ContainerLogs(inner, c.ID, o)
		if err != nil {
			yield(backend.LogEntry{}, d.fail(ctx, "logs", id, err))
			return
		}
		defer r.Close()
		entries := frames(r)
		if c.Config.Tty {
			entries = lines(r)
		}
		for e, err := range entries {
			if err != nil {
				yield(backend.LogEntry{}, d.fail(ctx, "logs", id, err))
				return
			}
			if !opts.Since.IsZero() && e.Time.Before(opts.Since) {
				continue
			}
			if !yield(e, nil) {
				return
			}
		}
		if ctx.Err() != nil {
			yield(backend.LogEntry{}, ctx.Err())
		}
	}
}

// frames yields the entries of a multiplexed log stream, in which each frame is
// "TIME DATA". Nothing larger than an entry is held, whatever a header claims.
func frames(r io.Reader) iter.Seq2[backend.LogEntry, error] {
	return func(yield func(backend.LogEntry, error) bool) {
		br := bufio.NewReader(r)
		var header [frameHeader]byte
		for {
			if _, err := io.ReadFull(br, header[:]); err != nil {
				if !errors.Is(err, io.EOF) {
					yield(backend.LogEntry{}, err)
				}
				return
			}
			stream := backend.Stdout
			switch header[0] {
			case frameStdin, frameStdout:
			case frameStderr:
				stream = backend.Stderr
			case frameError:
				text, _ := io.ReadAll(io.LimitReader(br, min(int64(binary.BigEndian.Uint32(header[4:])), 4<<10)))
				yield(backend.LogEntry{}, fmt.Errorf("the engine ended the log: %s", bytes.TrimSpace(text)))
				return
			default:
				yield(backend.LogEntry{}, fmt.Errorf("the engine's log is garbled: unknown stream number %d", header[0]))
				return
			}
			left := int64(binary.BigEndian.Uint32(header[4:]))
			var at time.Time
			for first := true; left > 0; first = false {
				data := make([]byte, min(left, entryLimit))
				if _, err := io.ReadFull(br, data); err != nil {
					if errors.Is(err, io.EOF) {
						err = io.ErrUnexpectedEOF
					}
					yield(backend.LogEntry{}, err)
					return
				}
				left -= int64(len(data))
				if first {
					at, data = stamped(data)
				}
				if len(data) > 0 && !yield(backend.LogEntry{Time: at, Stream: stream, Data: data}, nil) {
					return
				}
			}
		}
	}
}

// lines yields the entries of a terminal's log, "TIME DATA" line by line.
func lines(r io.Reader) iter.Seq2[backend.LogEntry, error] {
	return func(yield func(backend.LogEntry, error) bool) {
		br := bufio.NewReaderSize(r, entryLimit)
		var at time.Time
		for first := true; ; {
			data, err := br.ReadSlice('\n')
			if len(data) > 0 {
				data = bytes.Clone(data)
				if first {
					at, data = stamped(data)
				}
				if len(data) > 0 && !yield(backend.LogEntry{Time: at, Stream: backend.Stdout, Data: data}, nil) {
					return
				}
			}
			first = err == nil
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				if !errors.Is(err, io.EOF) {
					yield(backend.LogEntry{}, err)
				}
				return
			}
		}
	}
}

// stamped splits the time off an entry. An entry without one is left as it is.
func stamped(data []byte) (time.Time, []byte) {
	text, rest, ok := bytes.Cut(data, []byte(" "))
	if !ok || len(text) > len(time.RFC3339Nano) {
		return time.Time{}, data
	}
	at, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return time.Time{}, data
	}
	return at.UTC(), rest
}
