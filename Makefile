# Everything a developer runs. `make` alone lists it.
# One build profile (dev, with dependencies optimised) serves all of it, so nothing is built twice.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Of run-gateway and run-connector; without it, the program's own default.
CONFIG ?=

NODE := tests/e2e/node
NODE_MODULES := $(NODE)/node_modules/.package-lock.json

.PHONY: help
help: ## list the targets
	@sed -nE 's/^([a-z0-9-]+):[^#]*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: demo
demo: build-tools ## a gateway, a connector and an application on this machine, to try in a browser
	@cargo run -- demo

.PHONY: test
test: test-tools ## unit, documentation and end-to-end tests
	cargo nextest run
	cargo test --doc

.PHONY: e2e
e2e: test-tools ## the end-to-end tests alone
	cargo nextest run --test e2e

.PHONY: check
check: fmt-check lint doc test deny advisories ## everything that must hold before a merge

.PHONY: fmt
fmt: ## format the source
	cargo fmt

.PHONY: fmt-check
fmt-check:
	cargo fmt --check

.PHONY: lint
lint: build-tools ## clippy, warnings are errors
	cargo clippy --all-targets -- -D warnings

.PHONY: doc
doc: build-tools ## the documentation of the source, warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items

.PHONY: deny
deny: build-tools # licences, bans and sources of the dependencies
	@cargo deny --version >/dev/null 2>&1 || { echo "cargo-deny is missing. Install with: cargo install cargo-deny --locked" >&2; exit 1; }
	cargo deny --offline check bans licenses sources
	@tree=$$(cargo tree --edges normal,build --prefix none); \
	if grep -E '^(ring|(tokio-)?tungstenite) v' <<<"$$tree"; then \
	  echo "the crates above must not be part of the program" >&2; exit 1; fi

.PHONY: advisories
advisories: # security advisories, from a snapshot beside the repository
	@if [ -x ../shared/tools/advisories ]; then ../shared/tools/advisories Cargo.lock; \
	else echo "advisories: skipped, there is no ../shared/tools/advisories"; fi

.PHONY: run-gateway
run-gateway: build-tools ## a gateway; CONFIG=gateway.yaml
	cargo run -- gateway $(if $(CONFIG),--config $(CONFIG))

.PHONY: run-connector
run-connector: build-tools ## a connector; CONFIG=connector.yaml
	cargo run -- connector $(if $(CONFIG),--config $(CONFIG))

# What building needs beside Rust: a C compiler for aws-lc and SQLite.
.PHONY: build-tools
build-tools:
	@.ci/need cc:gcc
	@command -v cargo >/dev/null || { echo "cargo is missing. Install Rust: https://rustup.rs" >&2; exit 1; }

.PHONY: test-tools
test-tools: build-tools $(NODE_MODULES)
	@.ci/need chromium:chromium curl:curl git:git node:nodejs script:bsdutils
	@cargo nextest --version >/dev/null 2>&1 || { echo "cargo-nextest is missing. Install with: cargo install cargo-nextest --locked" >&2; exit 1; }

$(NODE_MODULES): $(NODE)/package.json $(NODE)/package-lock.json
	@.ci/need npm:npm
	cd $(NODE) && npm ci --no-audit --no-fund
	@touch $@
