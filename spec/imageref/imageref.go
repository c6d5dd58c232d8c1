// SPDX-License-Identifier: Apache-2.0

// Package imageref brings image references into one form, so that "debian" and
// "docker.io/library/debian:latest" are one image to a policy, to every engine
// and to a digest of the spec. All functions are pure and may be called
// concurrently.
package imageref

import (
	_ "crypto/sha256" // the digest algorithms that a reference may use
	_ "crypto/sha512"
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"

	"github.com/berthrun/berth/spec"
)

// idPrefix starts the id of an image that is in the engine's store.
const idPrefix = "sha256:"

// Normalize returns the full form of an image reference: registry, repository
// and either a tag (latest unless ref says otherwise) or a digest. A digest
// decides alone: a tag beside it is dropped, as docker does, because podman
// refuses the pair. [spec.HostImage] and image ids (sha256: and 64 hexadecimal
// digits, or the digits alone) name no registry; they come back as they are,
// ids with their prefix. Normalizing twice changes nothing. The life cycle calls
// it before policy and driver see the spec; the error names the reference and
// says what to write.
func Normalize(ref string) (string, error) {
	if ref == spec.HostImage {
		return ref, nil
	}
	if id, ok := imageID(ref); ok {
		return id, nil
	}
	named, err := parse(ref)
	if err != nil {
		return "", err
	}
	return named.String(), nil
}

// Familiar returns the short form that docker prints: "debian:12" for
// "docker.io/library/debian:12". It is for people; text that is not a reference
// comes back unchanged.
func Familiar(ref string) string {
	if ref == spec.HostImage {
		return ref
	}
	if _, ok := imageID(ref); ok {
		return ref
	}
	named, err := parse(ref)
	if err != nil {
		return ref
	}
	return reference.FamiliarString(named)
}

// Domain returns the registry that ref would be pulled from, such as
// "docker.io" or "localhost:5000". It is empty for [spec.HostImage] and for an
// image id, which are never pulled.
func Domain(ref string) (string, error) {
	if ref == spec.HostImage {
		return "", nil
	}
	if _, ok := imageID(ref); ok {
		return "", nil
	}
	named, err := parse(ref)
	if err != nil {
		return "", err
	}
	return reference.Domain(named), nil
}

// imageID recognises an image id. Without this, "sha256:…" would parse as the
// repository "sha256" with a tag of 64 digits.
func imageID(ref string) (string, bool) {
	digits := strings.TrimPrefix(ref, idPrefix)
	if len(digits) != 64 || strings.Trim(digits, "0123456789abcdef") != "" {
		return "", false
	}
	return idPrefix + digits, true
}

func parse(ref string) (reference.Named, error) {
	if ref == "" {
		return nil, errors.New("image reference is empty: want one such as debian:12")
	}
	named, err := reference.ParseDockerRef(ref)
	switch {
	case err == nil:
		return named, nil
	case errors.Is(err, reference.ErrNameContainsUppercase), strings.ToLower(ref) != ref && lowerParses(ref):
		return nil, fmt.Errorf("image reference %q: the repository must be in lower case", ref)
	case strings.Contains(ref, "://"):
		return nil, fmt.Errorf("image reference %q: want no scheme: write what follows ://", ref)
	}
	return nil, fmt.Errorf("image reference %q: want [registry/]repository[:tag][@digest]: %w", ref, err)
}

func lowerParses(ref string) bool {
	_, err := reference.ParseDockerRef(strings.ToLower(ref))
	return err == nil
}
