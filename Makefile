# Everything a person runs. `make` alone lists it.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.NOTPARALLEL:

ENGINE ?= light
BIN := target/debug
ENGINE_DIR := target/engine
CLIENTS_DIR := target/clients
PEERS_DIR := target/peers-venv
CONTRACTS_DIR := target/contracts-solc
# Two workspaces apart from the programs', with one folder: most of what they depend on is the same.
CONTRACTS := --manifest-path credits/contracts/Cargo.toml --target-dir target/apart --locked
PEERS := --manifest-path attestation/peers/Cargo.toml --target-dir target/apart --locked
NEXTEST := cargo nextest run --workspace --no-fail-fast

IMAGE := $(BIN)/cloister-image
FLAVOUR ?= cpu
GUARDIAN_FLAG := $(if $(GUARDIAN),--guardian $(GUARDIAN))

.PHONY: contracts
.PHONY: image reproduce boot-test image-launches image-lock release
.PHONY: help demo serve build engine clients peers postgres pebble test test-vllm lint bench claims nightly fuzz exhaustive coverage wasm hw-test clean check-tools

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

check-tools:
	@bash engine/check_tools.sh

# With one small example beside the programs cargo chooses the features that tests need too, so that tests find everything compiled.
BUILD := cargo build --workspace --example seeds --locked

build: check-tools ## Build the programs
	@echo "== build"
	@$(BUILD) --bins

engine: check-tools ## Install the engine (ENGINE=light or vllm), pinned and hash-checked
	@echo "== engine ($(ENGINE))"
	@python3 engine/engine.py fetch --engine $(ENGINE) --dir $(ENGINE_DIR)

clients: check-tools
	@echo "== clients of OpenAI and Anthropic, schemathesis"
	@python3 tests/clients/client_env.py openai --dir $(CLIENTS_DIR) >/dev/null
	@python3 tests/clients/client_env.py anthropic --dir $(CLIENTS_DIR) >/dev/null
	@python3 tests/clients/client_env.py schemathesis --dir $(CLIENTS_DIR) >/dev/null
	@tests/clients/node_env.sh $(CLIENTS_DIR) >/dev/null

peers: check-tools
	@echo "== verifiers to compare with"
	@python3 attestation/peers/python/peers_env.py --dir $(PEERS_DIR) >/dev/null

postgres:
	@ledger/testing/postgres.sh

pebble:
	@tests/doubles/pebble.sh

contracts: check-tools ## The settlement contracts: compile them, test them on an EVM, print what each call costs
	@echo "== settlement contracts"
	@credits/contracts/compile.sh $(CONTRACTS_DIR) >/dev/null
	@cargo nextest run $(CONTRACTS) --no-fail-fast -E 'not test(/gas_/)'
	@cargo nextest run $(CONTRACTS) --success-output immediate --status-level none --final-status-level none -E 'test(/gas_/)'

demo: engine build ## One private, paid, proven answer from a real model (ENGINE=vllm for real vLLM)
	@$(BIN)/cloister-demo demo --engine $(ENGINE)

serve: engine build ## Leave the same stack running behind a local OpenAI endpoint
	@$(BIN)/cloister-demo serve --engine $(ENGINE)

test: engine clients peers postgres pebble build contracts ## All tests, on the light engine
	@echo "== engine scripts"
	@cd engine && python3 -m unittest -q test_engine
	@echo "== documentation tests"
	@cargo test --workspace --doc --locked --quiet
	@echo "== the same evidence through other verifiers"
	@cargo nextest run $(PEERS) --no-fail-fast
	@echo "== tests"
	@dir=$$(mktemp -d); mount -t tmpfs tmpfs $$dir 2>/dev/null && umount $$dir || echo "SKIP machine (full disk): mounting a small disk takes root"; rmdir $$dir
	@test -e /dev/fuse -a "$$(id -u)" = 0 || echo "SKIP kernel_reports, sev_guest: /dev/fuse and root are needed to play the kernel's interfaces for reports"
	@$(NEXTEST) --locked

exhaustive: check-tools ## Every bit and every length of real evidence (part of `make test`)
	@$(NEXTEST) --locked -E "test(/exhaustive_/)"

test-vllm: clients build ## The core suite on real vLLM
	@$(MAKE) --no-print-directory engine ENGINE=vllm
	@$(MAKE) --no-print-directory engine ENGINE=vllm-embeddings
	@$(NEXTEST) --locked --profile vllm

lint: check-tools ## Format, clippy, house style, layering, licences
	@echo "== format"
	@cargo fmt --all --check
	@cargo fmt --manifest-path attestation/peers/Cargo.toml --check
	@cargo fmt --manifest-path credits/contracts/Cargo.toml --check
	@echo "== clippy"
	@cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
	@cargo clippy $(PEERS) --all-targets --quiet -- -D warnings
	@cargo clippy $(CONTRACTS) --all-targets --quiet -- -D warnings
	@echo "== documentation"
	@RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
	@echo "== python"
	@python3 -m compileall -q engine tests/clients attestation/peers/python

claims: build ## Every claim and threat of SECURITY.md names a test that exists
	@$(NEXTEST) --locked -E 'test(/^claims::/)'

# How many spends the ledger has that is restarted. Each takes five kilobytes of a temporary directory, once for each store.
NULLIFIERS := $(if $(FULL),10000000,1000000)

bench: peers engine clients postgres ## Ratios: to nginx and haproxy, to bare primitives, to other verifiers and provers (takes root once for nginx and haproxy; FULL=1: a ledger of 10^7 spends)
	@tests/benches/proxies/tools.sh
	@echo "== build, optimised"
	@cargo build --release --workspace --bins --locked
	@cargo bench --workspace --bench proxies --locked --quiet
	@cargo bench --workspace --bench ratios --locked --quiet
	@cargo bench --workspace --bench credits --locked --quiet -- --nullifiers $(NULLIFIERS) --json $(CURDIR)/target/bench-credits.json
	@cargo bench $(PEERS) --bench appraise --quiet

nightly: engine clients postgres build fuzz ## The large counts, a ledger of 10^7 spends (50 GB of a temporary directory), and the image built twice
	@$(NEXTEST) --locked --profile nightly
	@cargo bench --workspace --bench credits --locked --quiet -- --only restart --nullifiers 10000000
	@$(MAKE) --no-print-directory reproduce KERNEL=1

RUNS ?= 1000000
fuzz: check-tools ## Fuzz every parser of evidence, proofs and keys (RUNS=1000000 executions each; needs a C++ compiler)
	@attestation/fuzz/run.sh $(RUNS)

coverage: check-tools ## Line coverage of the parsers under the corpus and the suite (needs LLVM 22 tools; installing them takes root)
	@attestation/fuzz/coverage.sh

image-tools: check-tools
	@$(BUILD) --bin cloister-image

image: image-tools ## Build the measured VM image (FLAVOUR=cpu, debug, test, cpu-vllm or gpu; GUARDIAN=its configuration)
	@image/tools.sh build
	@$(if $(filter cpu-vllm,$(FLAVOUR)),$(MAKE) --no-print-directory engine ENGINE=vllm)
	@$(IMAGE) build --flavour $(FLAVOUR) $(GUARDIAN_FLAG)

reproduce: image-tools ## Build the image again under other circumstances and compare every byte (KERNEL=1: the kernel too)
	@image/tools.sh reproduce
	@$(IMAGE) reproduce --flavour $(FLAVOUR) $(GUARDIAN_FLAG) $(if $(KERNEL),--kernel)

boot-test: build image-tools ## Boot the image under QEMU and try to break it
	@image/tools.sh boot
	@$(BIN)/cloister-boot-test

image-launches: peers ## The image's launch digests, computed again by the sev crate and by sev-snp-measure
	@cargo run $(PEERS) --quiet --bin image-launches -- target/image/$(FLAVOUR)

image-lock: image-tools ## Choose the newest packages of the archive for all locks; read the difference before you commit it
	@for name in tools cpu test cpu-vllm gpu; do $(IMAGE) lock update $$name || exit 1; done

RELEASE_KEY ?= run/release/release.key
LOG_KEY ?= run/release/log.key
RELEASE_LOG ?= run/release/log
release: image ## Sign the image, log it, and write its release bundle (RELEASE_KEY, LOG_KEY, RELEASE_LOG; made if missing)
	@mkdir -p $(dir $(RELEASE_KEY)) && test -e $(RELEASE_KEY) || $(IMAGE) keygen --key $(RELEASE_KEY) --log-key $(LOG_KEY)
	@$(IMAGE) release --image target/image/$(FLAVOUR) --key $(RELEASE_KEY) --log-key $(LOG_KEY) --log $(RELEASE_LOG)

wasm: check-tools ## The attestation library for wasm32-unknown-unknown
	@attestation/wasm.sh

hw-test: build ## What needs SEV-SNP, TDX or an H100; SKIP with the reason elsewhere
	@$(BIN)/cloister-hw-test

clean: ## Remove everything built or fetched
	@cargo clean --quiet
	@rm -rf run
