// SPDX-License-Identifier: Apache-2.0

package conformance

func imageTests() []Test { return nil }
