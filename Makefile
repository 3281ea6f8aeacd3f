# What people type. Each target installs what it needs where it can, and says what is missing where it cannot.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test check page picture bench-links bench-relay bench-signal bench-list bench-ranker load fault sim clean

# Options of what is run, such as ARGS="--port 18080" for `make demo`.
ARGS ?=
# Where `make demo` keeps state: memory or redis, a cluster of six nodes that runs as long as the demo.
STORE ?= memory
# Finds Centrifugo or builds it; what follows in the same recipe line uses it.
GATEWAY := CENTRIFUGO=$$(scripts/centrifugo); export CENTRIFUGO
# A Redis Cluster on free ports, for as long as the recipe's shell lives; its nodes are in $$nodes.
CLUSTER = folder=target/redis-cluster-$$$$; trap 'scripts/redis-cluster stop --dir "$$folder"' EXIT; \
	nodes=$$(scripts/redis-cluster start --port 0 --dir "$$folder" --while $$$$)

help: ## say what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

demo: page ## gateway, backend and a page on loopback: open it in two tabs. STORE=redis for a Redis Cluster
	@[[ "$(STORE)" =~ ^(memory|redis)$$ ]] || { echo "STORE is memory or redis, not $(STORE)" >&2; exit 1; }
	@scripts/need cargo $(if $(filter redis,$(STORE)),redis)
	@$(GATEWAY); cargo build; \
	if [[ "$(STORE)" == memory ]]; then exec target/debug/starling demo $(ARGS); fi; \
	$(CLUSTER); target/debug/starling demo --redis "$$nodes" $(ARGS)

test: check page ## everything: lints, unit tests, the service against a real Centrifugo, real tabs
	@scripts/need cargo chromium haproxy redis
	@$(GATEWAY); $(CLUSTER); export REDIS_CLUSTER="$$nodes"; \
	cargo test --workspace && npm --prefix client --silent test && npm --prefix client --silent run test:browser

check: client/node_modules/.installed ## formatting, lints and types, warnings as errors
	@scripts/need cargo
	@cargo fmt --all --check && cargo clippy --workspace --all-targets -- -D warnings && npm --prefix client --silent run check

page: client/dist/.built

client/node_modules/.installed: client/package.json client/package-lock.json
	@scripts/need node
	@echo "Installing the client's packages" && npm --prefix client --silent ci && touch $@

client/dist/.built: client/node_modules/.installed client/build-demo.mjs client/tsconfig.json client/tsconfig.build.json \
		$(wildcard client/src/*.ts client/demo/*)
	@npm --prefix client --silent run build && touch $@

picture: page ## take the README's picture anew
	@scripts/need cargo chromium
	@$(GATEWAY); cargo build && \
	PICTURE=$(CURDIR)/docs/demo.png node --test client/test/browser/tabs.test.mjs

bench-links: page ## page load to open data channel, ten times
	@scripts/need cargo chromium
	@$(GATEWAY); cargo build --release && \
	STARLING=target/release/starling node client/bench/links.mjs

bench-relay: ## offer to delivery, one pair at a time
	@scripts/need cargo
	@$(GATEWAY); cargo build --release --workspace && target/release/starling-load load --stack --pairs 1 --time 8s

bench-signal: ## CPU of one call between transport and gateway
	@scripts/need cargo
	@cargo bench --bench signal

bench-list: ## CPU of one peer list in a swarm of 100,000
	@scripts/need cargo
	@cargo bench --bench list

bench-ranker: ## a round of the ranker with 100,000 dirty peers, over a cluster of its own
	@scripts/need cargo redis
	@cargo bench --bench ranker

load: ## 10 s of load on everything, started on loopback; every signal is checked. ARGS as `starling-load load` takes them
	@scripts/need cargo
	@$(GATEWAY); cargo build --release --workspace && \
	target/release/starling-load load --stack --pairs 50 --offers-per-call 8 --time 10s $(ARGS)

fault: ## two backends; kill, restart and stall them, the gateway and Redis under load; every signal is checked
	@scripts/need cargo haproxy redis
	@$(GATEWAY); cargo build --release --workspace && \
	for scenario in kill-backend rolling-restart kill-gateway "kill-gateway --engine redis" stall-gateway \
		kill-redis-master stall-redis-master failover-redis lose-redis reshard-redis; do \
		timeout 300 target/release/starling-load fault $$scenario --byes --trickle 3 $(ARGS); \
	done

sim: ## who meets whom: strategies side by side with 10,000 viewers, and ours without each part. ARGS as `starling-load sim` takes them
	@scripts/need cargo
	@cargo build --release -p starling-load && mkdir -p target/sim && \
	target/release/starling-load sim --ablations --html target/sim/report.html --plots target/sim $(ARGS) && \
	echo "The report is target/sim/report.html"

clean: ## remove what was built and installed here
	@scripts/redis-cluster stop
	@rm -rf target client/dist client/node_modules .tools
