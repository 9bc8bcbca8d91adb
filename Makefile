# Everything a developer runs. `make` alone lists it.
# One build profile (dev, with dependencies optimised) serves all of it, so nothing is built twice.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Of run-gateway and run-connector; without it, the program's own default.
CONFIG ?=

NODE := tests/e2e/node
NODE_MODULES := $(NODE)/node_modules/.package-lock.json
PYTHON := tests/e2e/python
PYTHON_VENV := $(PYTHON)/venv/.installed

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

.PHONY: soak
soak: test-tools ## the long forms of end-to-end tests: restarts, gigabytes, thousands of connections, testssl
	SOAK=1 cargo nextest run --profile soak --run-ignored all --test e2e -E 'test(/^(restarts::|beds::(heavy|tls)::)/)'

DIFFERENTIAL := target/differential
DIFFERENTIAL_VENV := $(DIFFERENTIAL)/venv/.installed

.PHONY: differential
differential: differential-tools ## links in thousands of real pages, translated by us and by html5lib and lxml
	$(DIFFERENTIAL)/venv/bin/python tests/differential collect --folder $(DIFFERENTIAL)
	DIFFERENTIAL=$(CURDIR)/$(DIFFERENTIAL) \
	  cargo test --test operations -- --ignored --exact pages::pages_of_a_folder_are_translated
	$(DIFFERENTIAL)/venv/bin/python tests/differential compare --folder $(DIFFERENTIAL)

# Files that others test their own programs with, as one package has them.
VECTORS := target/vectors
VECTORS_VERSION := 48.0.0
VECTORS_THERE := $(VECTORS)/.$(VECTORS_VERSION)

.PHONY: vectors
vectors: build-tools $(VECTORS_THERE) ## PKCS #12 files of pyca/cryptography and chains of NIST's PKITS
	VECTORS=$(CURDIR)/$(VECTORS)/cryptography_vectors \
	  cargo test --test operations -- --ignored vectors::

$(VECTORS_THERE):
	@.ci/need python3:python3
	@python3 -c 'import ensurepip' 2>/dev/null || .ci/need ensurepip:python3-venv
	rm -rf $(VECTORS)
	python3 -m venv $(VECTORS)/venv
	$(VECTORS)/venv/bin/pip install --quiet --disable-pip-version-check --no-deps \
	  --target $(VECTORS) cryptography_vectors==$(VECTORS_VERSION)
	@touch $@

# How long, in seconds. No sanitizer: there is no unsafe code, and without one stable Rust will do.
FUZZ_SECONDS ?= 60

# Which: a scanner of heads, the rewriters of links, and readers of certificates.
FUZZ ?= heads pages sheets texts bodies pfx pem der

.PHONY: fuzz
fuzz: fuzz-tools ## scanner and rewriters under octets nobody thought of; FUZZ_SECONDS=60 FUZZ="pages texts"
	@for target in $(FUZZ); do \
	  mkdir -p fuzz/corpus/$$target fuzz/seeds/$$target; \
	  dictionary=fuzz/links.dict; [[ $$target != heads ]] || dictionary=fuzz/http1.dict; \
	  cargo fuzz run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
	    -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -dict=$$dictionary; \
	done

# Of bench: rounds, seconds of each load, MiB of the large file; some stacks or loads alone, by name
# and with commas; and a document that gets the report between its marks of this name. Links in pages are
# LOADS=translation, six minutes with SECONDS=2.
ROUNDS ?= 5
SECONDS ?= 3
BULK ?= 1024
ONLY ?=
LOADS ?=
RECORD ?=
MARK ?= bench

BENCH := target/bench
RATHOLE := $(BENCH)/tools/bin/rathole
RELEASE := target/x86_64-unknown-linux-gnu/release/appproxy
PEERS := python3 benches/peers --appproxy $(RELEASE) --rathole $(RATHOLE) --folder $(BENCH)/run

.PHONY: bench
bench: bench-tools $(if $(filter translation,$(LOADS)),,$(RATHOLE)) ## appproxy beside its peers, with gates; ROUNDS=5 SECONDS=3 ONLY= LOADS= RECORD=docs/performance.md
	cargo build --release
	$(PEERS) --rounds $(ROUNDS) --seconds $(SECONDS) --bulk $(BULK) \
	  $(if $(ONLY),--only $(ONLY)) $(if $(LOADS),--loads $(LOADS)) $(if $(RECORD),--record $(RECORD) --mark $(MARK))

.PHONY: bench-smoke
bench-smoke: bench-tools ## the same in two minutes, four stacks: whether the bench itself works
	cargo build --release
	$(PEERS) --rounds 1 --seconds 1 --bulk 64 --only direct,nginx-nginx,appproxy,appproxy-links

.PHONY: bench-micro
bench-micro: build-tools ## what single steps of a request cost: routing, scanner, fields, translation
	cargo bench --bench micro

.PHONY: bench-tools
bench-tools: build-tools
	@.ci/need python3:python3 wrk:wrk nginx:nginx-light haproxy:haproxy h2load:nghttp2-client
	@.ci/need curl:curl openssl:openssl ip:iproute2 sysctl:procps apache2:apache2-bin
	@[ -e /usr/lib/apache2/modules/mod_auth_openidc.so ] || \
	  .ci/need mod_auth_openidc.so:libapache2-mod-auth-openidc

# Its lock file names a version of `time` that today's Rust refuses, hence without --locked. From
# another folder, because .cargo/config.toml here is for our own program.
$(RATHOLE): | build-tools
	@.ci/need pkg-config:pkg-config
	@pkg-config --exists openssl || .ci/need openssl.pc:libssl-dev
	cd / && cargo install rathole --version 0.5.0 --root $(CURDIR)/$(BENCH)/tools

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

TRIPLE := x86_64-unknown-linux-gnu

.PHONY: package
package: package-tools ## a Debian package, in target/x86_64-unknown-linux-gnu/debian
	cargo build --release
	.ci/stage target/$(TRIPLE)/release/appproxy
	cargo deb --no-build --target $(TRIPLE) --output target/$(TRIPLE)/debian/
	PACKAGE="$$(ls -t target/$(TRIPLE)/debian/appproxy_*.deb | head -n 1)" \
	  cargo nextest run --test operations --run-ignored only -E 'test(/^package::/)'

# What building needs beside Rust: a C compiler for aws-lc and SQLite.
.PHONY: build-tools
build-tools:
	@.ci/need cc:gcc
	@command -v cargo >/dev/null || { echo "cargo is missing. Install Rust: https://rustup.rs" >&2; exit 1; }

.PHONY: fuzz-tools
fuzz-tools: build-tools
	@.ci/need c++:g++
	@cargo fuzz --version >/dev/null 2>&1 || { echo "cargo-fuzz is missing. Install with: cargo install cargo-fuzz --locked" >&2; exit 1; }

.PHONY: package-tools
package-tools: build-tools
	@.ci/need dpkg-deb:dpkg man:man-db
	@cargo deb --version >/dev/null 2>&1 || { echo "cargo-deb is missing. Install with: cargo install cargo-deb --locked" >&2; exit 1; }
	@cargo cyclonedx --version >/dev/null 2>&1 || { echo "cargo-cyclonedx is missing. Install with: cargo install cargo-cyclonedx --locked" >&2; exit 1; }
	@cargo nextest --version >/dev/null 2>&1 || { echo "cargo-nextest is missing. Install with: cargo install cargo-nextest --locked" >&2; exit 1; }

.PHONY: test-tools
test-tools: build-tools $(NODE_MODULES) $(PYTHON_VENV)
	@.ci/need chromium:chromium curl:curl git:git node:nodejs script:bsdutils ss:iproute2
	@.ci/need haproxy:haproxy nginx:nginx-light
	@.ci/need unshare:util-linux mount:mount ip:iproute2
	@.ci/need h2load:nghttp2-client litmus:litmus apache2:apache2-bin sslscan:sslscan testssl:testssl.sh
	@.ci/need php:php-cli
	@[ -f /usr/share/mediawiki/maintenance/install.php ] || .ci/need wiki:mediawiki
	@php -m | grep -qx pdo_sqlite || .ci/need pdo_sqlite:php-sqlite3
	@.ci/need promtool:prometheus strace:strace systemd-analyze:systemd
	@.ci/need squid:squid tinyproxy:tinyproxy microsocks:microsocks mitmdump:mitmproxy
	@cargo nextest --version >/dev/null 2>&1 || { echo "cargo-nextest is missing. Install with: cargo install cargo-nextest --locked" >&2; exit 1; }

.PHONY: differential-tools
differential-tools: build-tools $(DIFFERENTIAL_VENV)
	@.ci/need apt-get:apt dpkg-deb:dpkg

$(DIFFERENTIAL_VENV): tests/differential/requirements.txt
	@.ci/need python3:python3
	@python3 -c 'import ensurepip' 2>/dev/null || .ci/need ensurepip:python3-venv
	python3 -m venv $(DIFFERENTIAL)/venv
	$(DIFFERENTIAL)/venv/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(PYTHON_VENV): $(PYTHON)/requirements.txt
	@.ci/need python3:python3
	@python3 -c 'import ensurepip' 2>/dev/null || .ci/need ensurepip:python3-venv
	python3 -m venv $(PYTHON)/venv
	$(PYTHON)/venv/bin/pip install --quiet --disable-pip-version-check -r $(PYTHON)/requirements.txt
	@touch $@

$(NODE_MODULES): $(NODE)/package.json $(NODE)/package-lock.json
	@.ci/need npm:npm
	cd $(NODE) && npm ci --no-audit --no-fund
	@touch $@
