// SPDX-License-Identifier: Apache-2.0

package conformance

func concurrencyTests() []Test { return nil }
