// SPDX-License-Identifier: Apache-2.0

package conformance

func userTests() []Test { return nil }
