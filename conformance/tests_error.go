// SPDX-License-Identifier: Apache-2.0

package conformance

func errorTests() []Test { return nil }
