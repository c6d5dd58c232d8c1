# SPDX-License-Identifier: Apache-2.0
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

GO ?= go
export CGO_ENABLED := 0

# What `make test` and `make bench` work on; set them on the command line.
PKG       ?= ./...
TESTFLAGS ?=
BENCH     ?= .
BENCHTIME ?= 15x

GOBUILD := $(GO) build -trimpath -ldflags '-s -w'

.PHONY: help
help: ## print this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

.PHONY: build
build: ## build bin/berth and its helpers
	$(GOBUILD) -o bin/ ./cmd/berth ./cmd/berth-agent ./cmd/berth-probe

.PHONY: run
run: build bin/engines ## run the main job: a Debian image, this repository as the workspace
	internal/quickstart/quickstart.sh

# Everything is compiled before the engine starts: inside its network namespace
# there is no module proxy. One package at a time: some of them stop the engine.
.PHONY: test
test: build bin/engines ## run all tests, with a private docker engine; needs root
	$(GO) vet ./...
	bin/engines run --leaks -- $(GO) test -count=1 -shuffle=on -p=1 -timeout=25m $(TESTFLAGS) $(PKG)

.PHONY: conformance
conformance: build bin/engines ## run the conformance suite against the fake driver and a private docker; needs root
	bin/berth conformance run --backend fake
	bin/engines run --leaks -- bin/berth conformance run --backend docker

.PHONY: bench
bench: build bin/engines ## measure against docker's own commands; needs root
	$(GO) vet ./internal/bench
	bin/engines run --leaks -- $(GO) test -count=1 -run='^$$' -bench='$(BENCH)' -benchtime=$(BENCHTIME) -timeout=25m ./internal/bench

.PHONY: lint
lint: bin/golangci-lint ## run the linters, and build the client for macOS
	$(GO) vet ./...
	bin/golangci-lint run
	GOOS=darwin $(GO) build -o /dev/null ./cmd/berth

.PHONY: vuln
vuln: bin/govulncheck ## look for known vulnerabilities; needs the internet
	bin/govulncheck ./...

.PHONY: engines
engines: bin/engines ## start a private docker engine for a shell of your own; needs root
	@bin/engines up >/dev/null
	@echo 'Use it:     eval "$$(bin/engines env)"'
	@echo 'In its net: bin/engines enter -- CMD'
	@echo 'End it:     bin/engines down'

.PHONY: clean
clean: ## remove what was built
	rm -rf bin .cache

# Always asked for: the go command knows when it is up to date.
.PHONY: bin/engines
bin/engines:
	$(GOBUILD) -o $@ ./internal/enginetest/cmd/engines

bin/golangci-lint: internal/tools/go.mod internal/tools/go.sum
	cd internal/tools && $(GOBUILD) -o ../../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

bin/govulncheck: internal/tools/go.mod internal/tools/go.sum
	cd internal/tools && $(GOBUILD) -o ../../$@ golang.org/x/vuln/cmd/govulncheck
