// SPDX-License-Identifier: Apache-2.0

package conformance

func mountTests() []Test { return nil }
