#!/usr/bin/env bash
# Runs the official conformance suite, whole or one test of it: run.sh "PREFIX COMMAND" KUBECONFIG [TEST]
# The features are those of the GatewayClass's status; the report goes to target/conformance/.
set -euo pipefail
cd "$(dirname "$0")/../.."
read -ra inside <<<"$1"
kubeconfig=$2
test=${3:-}

# A line a profile: tests passed, failed and skipped, core and extended, and the number of extended features.
summary() {
  awk '
    /^- core:|^  core:/ { part = "core" }
    /^  extended:/ { part = "extended" }
    /^ +(Passed|Failed|Skipped):/ { sub(":", "", $1); text[part] = text[part] " " $1 " " $2 }
    /^ +supportedFeatures:/ { counting = 1; next }
    /^ +unsupportedFeatures:/ { counting = 0 }
    counting && /^ +- / { features++ }
    counting && !/^ +- / { counting = 0 }
    /^  name:/ { printf "%-13s core:%s; extended:%s; extended features: %d\n", $2, text["core"], text["extended"], features; delete text; features = 0 }
  ' "$1"
}

out=target/conformance
mkdir -p "$out"
args=(--gateway-class=keyward --conformance-profiles="${PROFILES:-GATEWAY-HTTP,GATEWAY-GRPC,GATEWAY-TLS,GATEWAY-TCP,GATEWAY-UDP}"
  --usable-address=172.30.0.200 --unusable-address=203.0.113.9
  --organization=keyward --project=keyward --url=https://keyward.dev --version=v0.1.0 --contact=@keyward)
if [ -n "$test" ]; then
  args+=(--run-test="$test")
else
  args+=(--report-output="$PWD/$out/report.yaml")
fi

status=0
"${inside[@]}" env KUBECONFIG="$kubeconfig" target/cluster-bin/conformance.test \
  -test.run TestConformance -test.v -test.timeout 60m -test.parallel 4 "${args[@]}" >"$out/log" 2>&1 || status=$?

# Tests of meshes are not ours; any other that is skipped is shown.
grep -E '^ {4}--- (FAIL|SKIP)' "$out/log" | grep -v '/Mesh' || true
echo "conformance: $(grep -cE '^ {4}--- PASS' "$out/log" || true) passed, $(grep -cE '^ {4}--- FAIL' "$out/log" || true) failed (log: $out/log)"
[ -n "$test" ] || summary "$out/report.yaml"
exit "$status"
