// SPDX-License-Identifier: Apache-2.0

package conformance

func networkTests() []Test { return nil }
