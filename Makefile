# SPDX-License-Identifier: Apache-2.0
# `make help` explains each target. A target installs what it needs: Go modules, a virtual
# environment in .venv, Node packages beside the tests, tools in .tools. Go, Python 3.10 or later
# and Node.js must be installed.

BUF_VERSION      := 1.75.0
LINT_VERSION     := v2.15.0
ACTIONLINT_VERSION := v1.7.12
FUZZ_TIME        ?= 20000x
PYTHON           ?= python3
VENV             := .venv
TOOLS            := $(CURDIR)/.tools
BUF              := $(TOOLS)/buf/node_modules/.bin/buf
LINT             := $(TOOLS)/bin/golangci-lint-$(LINT_VERSION)
ACTIONLINT       := $(TOOLS)/bin/actionlint-$(ACTIONLINT_VERSION)
# The three modules of go.work. The go command matches all of them by the pattern `work`, other
# tools by directory.
MODULES          := ./... ./api/... ./sdk/go/...
# The packages whose tests start no other process, or a broker at most. Those under test/ and bench/
# start whole worlds.
UNITS            = $$(go list work | grep -v -E '/(test|bench|examples)/')
# Nothing is run for arm64 that builds programs of its own.
ARM64_UNITS      = $$(go list work | grep -v -E '/(test|bench|examples)/|/internal/(cli|archtest)$$')
QEMU             ?= qemu-aarch64-static

STEPS            := test-contract test-lint test-go test-fuzz test-python test-interop test-browser
CONTROL          := go run ./test/control -broker $(CURDIR)/bin/broker -python $(CURDIR)/$(VENV)/bin/python

MATRIX           := $(TOOLS)/matrix

.PHONY: help build run run-go run-node run-polyglot test $(STEPS) interop compatibility bench fuzz generate tidy lint lintfix vulncheck test-short short-go test-arm64 faults clean setup chromium java FORCE

help: ## explain the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: bin/broker bin/engineio-echo bin/websocket-echo ## build the programs into bin/

# The go command decides what is stale.
bin/%: FORCE
	go build -o $@ ./cmd/$*

setup: $(VENV)/ready ## create the Python environment with the SDK and the packages of the tests

$(VENV)/ready: sdk/python/pyproject.toml test/interop/python/requirements.txt test/browser/requirements.txt test/docs/requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or later is needed; name one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --editable 'sdk/python[flask,dev]' \
		-r test/interop/python/requirements.txt -r test/browser/requirements.txt -r test/docs/requirements.txt
	touch $@

%/node_modules: %/package-lock.json
	npm --prefix $* ci --silent --no-audit --no-fund
	touch $@

run: build setup ## start the broker with the Flask example behind it: http://localhost:5000
	bin/broker dev -- $(VENV)/bin/python examples/flask_chat/app.py

run-go: build ## the same page with handlers in Go
	go build -o bin/go_chat ./examples/go_chat
	bin/broker dev -- bin/go_chat

run-node: build examples/node_chat/node_modules ## the same page with handlers in Node.js, written against the contract without an SDK
	bin/broker dev -- node examples/node_chat/handler.js

run-polyglot: build setup ## one namespace served by a Python and a Go service at once
	go build -o bin/polyglot ./examples/polyglot
	bin/broker dev -- sh -c '$(VENV)/bin/python examples/polyglot/service.py & exec bin/polyglot'

test: ## run every test, step by step, and print the time that each step took
	@times=; for step in $(STEPS); do \
		printf '\n== %s\n' $$step; start=$$(date +%s); \
		$(MAKE) --no-print-directory $$step || { printf '\n== %s failed after %d s; run it alone: make %s\n' $$step $$(( $$(date +%s) - start )) $$step; exit 1; }; \
		times="$$times$$(printf '%6d s  %s' $$(( $$(date +%s) - start )) $$step)|"; \
	done; printf '\n== all passed\n'; echo "$$times" | tr '|' '\n'

test-contract: $(BUF) setup ## lint the contract and check that what is generated from it is current
	$(BUF) lint
	$(BUF) format --diff --exit-code
	scripts/check_breaking $(BUF)
	scripts/check_generated $(BUF)
	$(PYTHON) scripts/generate_python --check

test-lint: $(LINT) $(ACTIONLINT) ## check format, vet, golangci-lint, tidy modules and known vulnerabilities of the Go code
	@unformatted=$$(git ls-files '*.go' | xargs gofmt -l); \
		test -z "$$unformatted" || { echo "gofmt would change:"; echo "$$unformatted"; exit 1; }
	go vet work
	scripts/tidy --check
	$(LINT) run $(MODULES)
	$(ACTIONLINT)
	scripts/vulncheck $(TOOLS)

test-short: test-lint setup ## the checks for a push: lint, Go tests and Python tests, in about two minutes once their tools are installed
	go test -short -run '^$$' $(UNITS) >/dev/null # compile first: the tests of both languages mostly wait, and run side by side
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target short-go short-python

.PHONY: short-python
short-python:
	cd sdk/python && ../../$(VENV)/bin/ruff check . && ../../$(VENV)/bin/ruff format --check --quiet . && ../../$(VENV)/bin/mypy && ../../$(VENV)/bin/pytest -q

short-go:
	go test -short $(UNITS)

test-arm64: ## the Go tests of the packages, built for arm64, under the emulator QEMU (package qemu-user-static)
	GOARCH=arm64 go vet work
	GOARCH=arm64 go test -short -exec $(QEMU) $(ARM64_UNITS)

faults: build setup test/interop/js/node_modules namespaces proxies ## the fault tests and those of the proxies, several times with the race detector
	$(CONTROL) -limit 100m -- go test -race -count=3 -timeout 90m ./test/faults ./test/proxies

test-go: build setup test/interop/js/node_modules examples/node_chat/node_modules namespaces proxies ## Go tests with the race detector, among them one for each behaviour on the wire
	$(CONTROL) -limit 45m -- go test -race work

test-fuzz: ## fuzz every parser briefly
	FUZZ_TIME=$(FUZZ_TIME) scripts/fuzz

test-python: setup ## the Python SDK's tests with their coverage, types and lint
	cd sdk/python && ../../$(VENV)/bin/ruff check . && ../../$(VENV)/bin/ruff format --check --quiet . && ../../$(VENV)/bin/mypy && ../../$(VENV)/bin/pytest -q --cov --cov-report=
	cd sdk/python && ../../$(VENV)/bin/coverage report && ../../$(VENV)/bin/coverage report --include='src/spanwire/_core.py' --fail-under=100

test-interop: build setup test/interop/js/node_modules examples/node_chat/node_modules ## published clients, in JavaScript and Python, against Go, Python and Node.js handlers
	$(CONTROL) -handler go -- node --test --test-reporter=spec test/interop/js/*.test.js
	$(CONTROL) -handler python -- node --test --test-reporter=spec test/interop/js/*.test.js
	$(CONTROL) -handler node -- node --test --test-reporter=spec test/interop/js/*.test.js
	$(CONTROL) -handler go -- $(VENV)/bin/python -m pytest -q test/interop/python
	$(CONTROL) -handler python -- $(VENV)/bin/python -m pytest -q test/interop/python

test-browser: build setup test/browser/node_modules examples/node_chat/node_modules chromium ## two Chromium windows on the example pages
	$(CONTROL) -- node --test --test-reporter=spec test/browser/*.test.js

interop: matrix ## run every published client, old and new, and compare the results with docs/compatibility.md
	go run ./test/interop/report -results $(MATRIX)

compatibility: matrix ## run every published client and write the tables of docs/compatibility.md
	go run ./test/interop/report -results $(MATRIX) -write

.PHONY: matrix namespaces proxies
matrix: build setup test/interop/js/node_modules test/browser/node_modules chromium java
	scripts/interop $(MATRIX)

# The fault tests cut off a network namespace with the program ip.
namespaces:
	@command -v ip >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -q && apt-get install -q -y iproute2; fi; }

# The proxies that deploy/proxy configures. RUNLEVEL prevents the packages from starting servers.
proxies:
	@PATH="$$PATH:/usr/sbin"; for program in nginx caddy haproxy apache2; do command -v $$program >/dev/null || missing=1; done; \
	[ -z "$$missing" ] || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -q && RUNLEVEL=1 apt-get install -q -y --no-install-recommends nginx-light caddy haproxy apache2-bin; \
		else echo "The tests of deploy/proxy need nginx, Caddy, HAProxy and Apache: install the packages nginx-light, caddy, haproxy and apache2-bin."; exit 1; fi; }

java:
	@command -v mvn >/dev/null && command -v java >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -q && apt-get install -q -y maven default-jdk-headless; \
		else echo "The Java clients need a JDK of version 17 or later and Maven: install the packages default-jdk-headless and maven."; exit 1; fi; }

chromium:
	@test -n "$$CHROMIUM" || command -v chromium chromium-browser google-chrome >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -q && apt-get install -q -y chromium; \
		else echo "The browser tests need Chromium: install the package chromium, or set CHROMIUM to the program."; exit 1; fi; }

bench: build setup bench/node/node_modules ## measure against the Node server, side by side (about 15 minutes)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r bench/flask/requirements.txt
	ulimit -n $$(ulimit -H -n) && go run ./bench/run -broker $(CURDIR)/bin/broker -python $(CURDIR)/$(VENV)/bin/python

fuzz: test/interop/js/node_modules ## fuzz every parser for longer, and against the JavaScript one: FUZZ_TIME=10m make fuzz
	FUZZ_TIME=$(FUZZ_TIME) scripts/fuzz
	go test ./test/differential -run Mutations -count=1 -args -rounds 1000000

lint: $(LINT) ## run golangci-lint as .golangci.yml configures it
	$(LINT) run $(MODULES)

vulncheck: ## run govulncheck, where its database can be reached
	scripts/vulncheck $(TOOLS)

lintfix: $(LINT) setup ## format the Go and Python code, and apply the fixes that the linters know
	$(LINT) fmt
	$(LINT) run --fix $(MODULES)
	cd sdk/python && ../../$(VENV)/bin/ruff check --fix . && ../../$(VENV)/bin/ruff format --quiet .

generate: build $(BUF) ## regenerate the Go and Python code of the contract and the reference of settings and metrics
	$(BUF) format -w
	$(BUF) generate
	$(PYTHON) scripts/generate_python
	bin/broker settings > docs/reference/settings.md
	bin/broker metrics > docs/reference/metrics.md

tidy: ## run go mod tidy in the three modules
	scripts/tidy

$(BUF):
	npm install --silent --no-audit --no-fund --prefix $(TOOLS)/buf @bufbuild/buf@$(BUF_VERSION)

$(ACTIONLINT):
	GOBIN=$(TOOLS)/actionlint go install github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT_VERSION)
	mkdir -p $(TOOLS)/bin && mv $(TOOLS)/actionlint/actionlint $@

$(LINT):
	GOBIN=$(TOOLS)/lint go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mkdir -p $(TOOLS)/bin && mv $(TOOLS)/lint/golangci-lint $@

clean: ## remove build results and installed tools
	rm -rf bin $(VENV) $(TOOLS) test/interop/js/node_modules test/browser/node_modules bench/node/node_modules
