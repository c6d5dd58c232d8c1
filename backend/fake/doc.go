// SPDX-License-Identifier: Apache-2.0

// Package fake is a container engine that exists only in the memory of this
// process, and the driver for it. It has no containers: a sandbox is a model of
// files, processes, limits and networks, and the program /probe, which is all
// that its images hold, is package probe's Run on top of that model. What a test
// can see from outside is real: binds are real folders, published ports are real
// listeners.
//
// It is for testing what stands above a driver, and above all package
// conformance itself: the correct fake passes the whole suite, and each [Bug]
// makes it break one promise, so that a test which never fails is noticed.
//
// [New] makes an engine with one driver; [Engine.Open] makes further drivers for
// the same engine, as further processes would. [NewHarness] plugs it into the
// suite.
package fake
