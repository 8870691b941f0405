# Watchfire. Three targets are enough to remember: run, test, check.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO ?= go
TOOL = $(GO) tool -modfile=tools/$(1).mod $(1)
# A second module, whose checks and tests run from its folder.
SERVER := devstack/temporal
# Packages whose tests also run under the race detector, where cgo allows it.
RACY := ./models/... ./simulators/... ./vendors/...
# A build must not depend on the owner of the checkout, as a call of git would.
export GOFLAGS += -buildvcs=false

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: setup build ## start the whole stack with its simulators and keep it up until Ctrl-C; ARGS="--port 9080" takes another port, see bin/watchfire dev -h
	bin/watchfire dev $(ARGS)

.PHONY: fresh
fresh: setup build ## like run, but remove all data first
	bin/watchfire dev --fresh $(ARGS)

.PHONY: demo
demo: setup build ## drive one critical incident from alert to closure; ALERT=file.json takes another alert
	bin/watchfire demo $(if $(ALERT),--alert $(ALERT))

.PHONY: compose-dev-env
compose-dev-env: ## write .env for profile dev of docker-compose.yml, with fresh keys; needs Docker alone
	devstack/compose/dev-env.sh

.PHONY: bench
bench: setup build ## measure against bare Temporal; writes out/bench.json
	bin/watchfire bench

.PHONY: setup
setup: ## install PostgreSQL's server when missing, build the Temporal server once
	@tools/setup.sh

.PHONY: build
build: ## build bin/watchfire
	$(GO) build -o bin/watchfire ./cmd/watchfire

.PHONY: test
test: setup ## run all tests
	$(GO) test -timeout 45m ./...
	cd $(SERVER) && $(GO) vet ./... && $(GO) test ./...
	@if [ "$$($(GO) env CGO_ENABLED)" = 1 ]; then \
	  echo "$(GO) test -race $(RACY)"; $(GO) test -race $(RACY); \
	else \
	  echo "SKIPPED: tests under the race detector, which needs cgo and a C compiler"; \
	fi

.PHONY: upgrade
upgrade: setup ## drill: upgrade live incidents from an earlier commit, and take it back
	$(GO) run ./test/upgrade

# How long `make chaos` breaks things, and how many incidents live meanwhile. SEED repeats the plan of an earlier run.
MINUTES ?= 5
INCIDENTS ?= 24
SEED ?= 0

.PHONY: chaos
chaos: setup ## kill, stop and confuse everything for MINUTES, then count; make test runs a short form
	$(GO) test ./test/chaos -v -count=1 -timeout 60m -run TestChaos -args -seed $(SEED) -incidents $(INCIDENTS) -minutes $(MINUTES)

.PHONY: chaos-oracle
chaos-oracle: setup ## show that chaos is seen: it must find things wrong with a part of the product switched off
	$(GO) test ./test/chaos -v -count=1 -timeout 60m -run TestOracle -args -oracle -seed $(SEED)

.PHONY: upgrade-proof
upgrade-proof: setup ## the drill, and that it fails where it should
	$(GO) run ./test/upgrade -prove

.PHONY: restore
restore: setup ## drill: restore either database from an older backup while incidents are open
	$(GO) run ./test/restore

.PHONY: restore-proof
restore-proof: setup ## the drill, and that it fails where it should
	$(GO) run ./test/restore -prove

.PHONY: steps
steps: setup ## kill the worker at each step of a critical incident; make test does so at every eighth
	$(GO) test ./test/e2e -v -count=1 -timeout 60m -run TestAWorkerKilledBetweenAnyTwoSteps -args -every-step 1

.PHONY: nightly
nightly: chaos chaos-oracle steps upgrade-proof restore-proof gates-proof ## what takes too long for every change

.PHONY: check
check: format names leaks vet generated modules bom lint workflows vuln ## everything short of the tests: format, retired names, secrets, vet, generated code, modules, licences, lint, workflowcheck, vulnerabilities

.PHONY: generate
generate: ## write the generated code again
	$(GO) generate ./...

.PHONY: format
format: ## fail on files that gofmt would change
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "not formatted with gofmt:"; echo "$$unformatted"; exit 1; }

.PHONY: names
names: ## fail on retired names; tools/names.sh --help says more
	tools/names.sh

.PHONY: leaks
leaks: ## look for secrets in the files
	tools/leaks.sh

.PHONY: gates-proof
gates-proof: setup ## show that the gates close: seed one fault after the other
	tools/gates-proof.sh

.PHONY: vet
vet: ## go vet of both modules
	$(GO) vet ./...
	cd $(SERVER) && $(GO) vet ./...

.PHONY: generated
generated: ## fail when generated code differs from its source
	tools/generated.sh

.PHONY: modules
modules: ## fail when go.mod or go.sum is not tidy or a module was tampered with
	$(GO) mod verify
	$(GO) mod tidy -diff
	cd $(SERVER) && $(GO) mod verify && $(GO) mod tidy -diff

.PHONY: bom
bom: ## write what the binary is made of to out/bom; fail on a module without a licence
	CGO_ENABLED=0 $(GO) build -trimpath -o out/bom/watchfire ./cmd/watchfire
	tools/bom.sh out/bom/watchfire out/bom

.PHONY: lint
lint: ## golangci-lint, with the import rules between the rooms; its first build takes minutes
	@echo "golangci-lint (built once from its sources, which takes minutes)"
	$(call TOOL,golangci-lint) run ./...
	cd $(SERVER) && $(GO) tool -modfile=../../tools/golangci-lint.mod golangci-lint run --config ../../.golangci.yml ./...

.PHONY: workflows
workflows: ## look for non-deterministic code in the workflows
	$(call TOOL,workflowcheck) -test=false -config workflowcheck.config.yaml ./workflows/...

.PHONY: vuln
vuln: ## look for known vulnerabilities
	tools/vulnerabilities.sh
