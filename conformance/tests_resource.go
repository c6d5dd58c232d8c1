// SPDX-License-Identifier: Apache-2.0

package conformance

func resourceTests() []Test { return nil }
