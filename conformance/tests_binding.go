// SPDX-License-Identifier: Apache-2.0

package conformance

func bindingTests() []Test { return nil }
