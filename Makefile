# SPDX-License-Identifier: Apache-2.0
# `make help` explains each target. What a target needs it installs itself: Go modules, a virtual environment in .venv, Node packages
# beside the tests, tools in .tools; only Go, Python 3.10 or later and Node.js must be there.

BUF_VERSION      := 1.75.0
LINT_VERSION     := v2.15.0
FUZZ_TIME        ?= 5s
PYTHON           ?= python3
VENV             := .venv
TOOLS            := $(CURDIR)/.tools
BUF              := $(TOOLS)/buf/node_modules/.bin/buf
LINT             := $(TOOLS)/bin/golangci-lint-$(LINT_VERSION)
GO_SOURCES       := $(shell find api cmd internal sdk/go examples -name '*.go' 2>/dev/null)

.PHONY: help build run run-go run-polyglot test test-contract test-lint test-go test-fuzz test-python test-interop test-browser \
	bench fuzz generate lint clean setup chromium

help: ## explain the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: bin/broker bin/engineio-echo bin/websocket-echo ## build the programs into bin/

bin/%: $(GO_SOURCES) go.mod go.sum
	go build -o $@ ./cmd/$*

setup: $(VENV)/ready ## make the Python environment with the SDK and what the tests need

$(VENV)/ready: sdk/python/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --editable 'sdk/python[flask,dev]'
	touch $@

run: build setup ## start the broker with the Flask example behind it: http://localhost:5000
	bin/broker dev -- $(VENV)/bin/python examples/flask_chat/app.py

run-go: build ## the same page with handlers in Go
	go build -o bin/go_chat ./examples/go_chat
	bin/broker dev -- bin/go_chat

run-polyglot: build setup ## one namespace served by a Python and a Go service at once
	go build -o bin/polyglot ./examples/polyglot
	bin/broker dev -- sh -c '$(VENV)/bin/python examples/polyglot/service.py & exec bin/polyglot'

# test runs every check, each as a step of its own with its time.
test: ## pass every test
	@for step in test-contract test-lint test-go test-fuzz test-python test-interop test-browser; do \
		echo "== $$step"; start=$$(date +%s); $(MAKE) --no-print-directory $$step || exit 1; \
		echo "== $$step passed in $$(( $$(date +%s) - start )) s"; done

test-contract: $(BUF) setup ## lint the contract and check that what is generated from it is current
	$(BUF) lint
	$(BUF) format --diff --exit-code
	scripts/check_breaking $(BUF)
	scripts/check_generated $(BUF)
	$(PYTHON) scripts/generate_python --check

test-lint: ## check the form of the Go code
	@test -z "$$(gofmt -l api/gen cmd internal sdk/go examples bench test)" || { gofmt -l cmd internal sdk/go examples bench test; exit 1; }
	go vet ./...

test-go: build ## Go tests with the race detector
	go test -race ./...

test-fuzz: ## fuzz every parser for a moment
	FUZZ_TIME=$(FUZZ_TIME) scripts/fuzz

test-python: setup ## the Python SDK's tests, types and lint
	cd sdk/python && ../../$(VENV)/bin/ruff check . && ../../$(VENV)/bin/mypy && ../../$(VENV)/bin/pytest -q

test-interop: build setup ## real clients, in JavaScript and Python, against the built broker
	$(MAKE) --no-print-directory -C test interop PYTHON=$(CURDIR)/$(VENV)/bin/python

test-browser: build setup chromium ## two Chromium windows on the example pages
	$(MAKE) --no-print-directory -C test browser PYTHON=$(CURDIR)/$(VENV)/bin/python

chromium:
	@command -v chromium >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -q && apt-get install -q -y chromium; \
		else echo "The browser tests need Chromium: install the package chromium."; exit 1; fi; }

bench: build setup ## measure against the Node server, side by side, beside the budgets
	go run ./bench/run

fuzz: ## fuzz every parser for longer: FUZZ_TIME=10m make fuzz
	FUZZ_TIME=$(FUZZ_TIME) scripts/fuzz

lint: $(LINT) ## run golangci-lint, as strict as .golangci.yml says
	$(LINT) run

generate: build $(BUF) ## write what is generated anew: Go and Python code of the contract, reference of settings
	$(BUF) format -w
	$(BUF) generate
	$(PYTHON) scripts/generate_python
	bin/broker settings > docs/reference/settings.md

$(BUF):
	npm install --silent --no-audit --no-fund --prefix $(TOOLS)/buf @bufbuild/buf@$(BUF_VERSION)

$(LINT):
	GOBIN=$(TOOLS)/lint go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mkdir -p $(TOOLS)/bin && mv $(TOOLS)/lint/golangci-lint $@

clean: ## remove what was built and installed
	rm -rf bin $(VENV) $(TOOLS) test/node_modules test/*/node_modules bench/node/node_modules
