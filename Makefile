# Killpoint. `make help` lists what there is.

SCENARIO ?=
PARALLEL ?= 2
REPORT   ?= reports
BENCH    ?=
BUDGET   ?= 24s
GO       ?= go
ONLY     ?=

COMPOSE := $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)

.DEFAULT_GOAL := help

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  make chaos SCENARIO=restart   runs one scenario; without SCENARIO, all of them"
	@echo "  (make itself ends with 2 whatever killpoint ended with; bin/killpoint run tells 1, 3 and 4 apart)"

.PHONY: build
build: ## build bin/killpoint, and the interposer that it puts into containers
	@CGO_ENABLED=0 $(GO) build -trimpath -o bin/killpoint ./orchestrator
	@for arch in amd64 arm64; do \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build -trimpath -ldflags='-s -w' \
			-o bin/killpoint-interposer-linux-$$arch ./orchestrator/interpose/cmd/interposer || exit 1; \
	done

.PHONY: images
images: ## build the examples' images, and those that no registry gives
	@compose/images.sh
	@scenarios/examples/shop/image.sh
	@scenarios/examples/redis/image.sh
	@scenarios/examples/postgres/image.sh

.PHONY: chaos
chaos: build images ## run the scenarios: kill, restart, prove that nothing was lost
ifeq ($(SCENARIO),)
	@bin/killpoint run --parallel $(PARALLEL) --report $(REPORT) scenarios $(wildcard scenarios/examples/*)
else
	@bin/killpoint run --report $(REPORT) scenarios/$(SCENARIO).yaml
endif

.PHONY: up
up: images ## start the example pipeline by hand
	@$(COMPOSE) -f compose/partition-writes.yaml up -d
	@echo "follow it with: $(COMPOSE) -f compose/partition-writes.yaml logs -f worker-2 worker-3"

.PHONY: down
down: ## stop the example pipeline and remove its data
	@$(COMPOSE) -f compose/partition-writes.yaml down -v

.PHONY: chromium
chromium: ## install the browser that the pages are tested in; without one those tests are left out
	@if command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; then \
		true; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium fonts-inter fonts-liberation >/dev/null; \
	else \
		echo "no Chromium: the tests of pages are left out (Debian and Ubuntu: apt-get install chromium)"; \
	fi

.PHONY: test
test: build images chromium ## run every test, with the race detector, on real Docker and RabbitMQ
	@$(GO) test -race -count=1 -timeout 40m ./... # what depends on Docker must not come from a cache
	@cd partition/bench && $(GO) test -count=1 ./... # without the race detector, for which SQLite would be compiled once more
	@cd deploy && $(GO) test ./...

.PHONY: exactness
exactness: ## kill programs in Go, C, Python and sh, each at 1,000 planned bytes, and count how many end there
	@$(GO) test ./orchestrator/interpose/supervisor -count 1 -timeout 60m -run TestExactness -exact-kills 1000 -exact-containers 100 -v

.PHONY: proof
proof: build images ## explore every broken worker, and the correct one: what is found, after how many crash points
	@$(GO) test ./proof -count 1 -timeout 60m -parallel 7 -run TestExplorationsFindEveryVariant -explored -v

.PHONY: rate
rate: build images ## print how many crash points go into a minute, beside a plain script
	@$(GO) test ./proof -count 1 -timeout 60m -run TestRates -rates -v

.PHONY: explore
explore: build images ## crash worker-2 and worker-3 at every point, in both models, and worker-2 in chains; BUDGET=0 for all of them
	@for target in worker-2 worker-3; do for model in process-crash power-loss; do \
		rm -rf $(REPORT)/explore-$$target-$$model; \
		bin/killpoint explore scenarios/normal.yaml --target $$target --model $$model --budget $(BUDGET) \
			--report $(REPORT)/explore-$$target-$$model || exit 1; \
	done; done
	@rm -rf $(REPORT)/explore-chain
	@bin/killpoint explore scenarios/normal.yaml --target worker-2 --chain --budget $(BUDGET) --report $(REPORT)/explore-chain

.PHONY: fleet
fleet: build images ## compare a fleet of two engines on this machine, an agent killed on the way, with one engine (as root)
	@$(GO) test ./proof -count 1 -timeout 15m -run TestFleetOfTwoEngines -fleet -v

.PHONY: proof-subtle
proof-subtle: build images ## show that the subtle broken workers pass every scenario; ONLY='torn|sync' for some of them
	@$(GO) test ./proof -count 1 -timeout 60m -run TestSubtleVariantsPassTheScenarios -shipped -only '$(ONLY)' -v

.PHONY: bench
bench: images ## print what exactly-once appends cost beside databases, end to end, and as files grow; BENCH=-quick, BENCH=-help
	@cd partition/bench && $(GO) run . $(BENCH)

.PHONY: bench-interpose
bench-interpose: ## print what a trapped call costs, beside the same program without the interposer and under the least there can be
	@$(GO) test ./orchestrator/interpose/supervisor -count 1 -timeout 60m -run TestCost -cost-writes 200000 -v

.PHONY: large
large: ## ten million chunks in the writer, ten million rows in the verifier and in the row check: time and memory
	@$(GO) test ./partition -count 1 -timeout 60m -run TestManyChunks -ids 10000000 -v
	@$(GO) test ./workers/worker3 -count 1 -timeout 60m -run TestLarge -large 10000000 -v
	@$(GO) test ./orchestrator/check -count 1 -timeout 60m -run TestLarge -large 10000000 -v

.PHONY: lint
lint: ## check formatting, go vet, staticcheck, go.mod and the GitHub workflows
	@test -z "$$(gofmt -l .)" || { echo "not formatted:"; gofmt -l .; exit 1; }
	@$(GO) vet ./...
	@$(GO) tool staticcheck ./...
	@$(GO) mod tidy -diff
	@for module in partition/bench deploy; do \
		(cd $$module && $(GO) vet ./... && $(GO) mod tidy -diff) || exit 1; \
		staticcheck=$$($(GO) tool -n staticcheck) && (cd $$module && $$staticcheck ./...) || exit 1; \
		test "$$($(GO) mod edit -json | grep '"Go"')" = "$$(cd $$module && $(GO) mod edit -json | grep '"Go"')" || \
			{ echo "go.mod and $$module/go.mod name different versions of Go"; exit 1; }; \
	done
	@$(GO) tool actionlint -shellcheck= -pyflakes=

.PHONY: clean
clean: build ## remove what runs have left, and what was built
	@bin/killpoint clean
	@rm -rf bin reports
