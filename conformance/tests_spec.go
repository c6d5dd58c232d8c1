// SPDX-License-Identifier: Apache-2.0

package conformance

func specTests() []Test { return nil }
