#!/usr/bin/env bash
# Makes DIR what a Prometheus without service discovery for Kubernetes (Debian's) needs to scrape a cluster by our own scrape.yaml:
#   kubectl get pods -A -o json | prometheus.sh DIR; prometheus --config.file=DIR/scrape.yaml
# Only where targets come from is replaced; relabelling and rules are the component's. Run again, it renews the targets.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
component=$here/../../config/components/prometheus
dir=${1:?usage: prometheus.sh DIR, with pods as JSON on standard input}

mkdir -p "$dir"
jq -f "$here/pod-targets.jq" >"$dir/pods.json.new"
mv "$dir/pods.json.new" "$dir/pods.json"
cp "$component/rules.yaml" "$dir/rules.yaml"
awk '
  /^  kubernetes_sd_configs:/ { print "  file_sd_configs:\n  - files: [pods.json]"; skip = 1; next }
  skip && /^  (- |  )/ { next }
  { skip = 0; print }
' "$component/scrape.yaml" >"$dir/scrape.yaml"
