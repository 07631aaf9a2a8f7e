#!/usr/bin/env bash
# The guide, from files: a provider, the gateway with the guide's manifests, the guide's curl. With OPENAI_API_KEY set, the real provider.
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in curl cc make; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install curl build-essential" >&2; exit 1; }
done
cargo build --locked --bin keyward --bin mock-llm

dir=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$dir"
}
trap cleanup EXIT
# Waits until a file has content; fails with the log if its process ends first.
await() {
  for _ in $(seq 200); do
    [ -s "$1" ] && grep -q "$2" "$1" && return
    kill -0 "$3" 2>/dev/null || break
    sleep 0.1
  done
  echo "it did not start:" >&2
  cat "$4" >&2
  exit 1
}

bin=${CARGO_TARGET_DIR:-target}/debug
options=()
if [ -n "${OPENAI_API_KEY:-}" ]; then
  TOKEN=$OPENAI_API_KEY
  echo "provider: api.openai.com, with your OPENAI_API_KEY"
else
  TOKEN=sk-demo-$RANDOM$RANDOM
  "$bin/mock-llm" --listen 127.0.0.1:0 --admin 127.0.0.1:0 --key "$TOKEN" \
    --ca-out "$dir/ca.pem" --port-file "$dir/provider" >"$dir/provider.log" 2>&1 &
  pids+=($!)
  await "$dir/provider" : "$!" "$dir/provider.log"
  options=(--connect-to "api.openai.com:443:$(cat "$dir/provider")" --upstream-ca "$dir/ca.pem")
  echo "provider: a mock at $(cat "$dir/provider") (set OPENAI_API_KEY for the real one)"
fi

# The guide's heredoc puts $TOKEN into the manifest; so does this, without the token in any command line.
samples=config/samples/inline
upstream=$(<"$samples/upstream.yaml")
"$bin/keyward" up -f "$samples/gateway.yaml" -f "$samples/httproute.yaml" -f - \
  --admin-addr 127.0.0.1:0 "${options[@]}" >"$dir/ready" 2>"$dir/keyward.log" <<<"${upstream//\$TOKEN/$TOKEN}" &
keyward=$!
pids+=("$keyward")
await "$dir/ready" 'keyward ready' "$keyward" "$dir/keyward.log"
admin=$(sed -n 's/.*admin=//p' "$dir/ready")

INGRESS_GW_ADDRESS=127.0.0.1
echo "\$ curl \"$INGRESS_GW_ADDRESS:8080/openai\" -H content-type:application/json -d '{\"model\": \"gpt-3.5-turbo\", ...}'"
status=$(curl --silent --show-error --max-time 120 -o "$dir/answer" -w '%{http_code}' \
  "$INGRESS_GW_ADDRESS:8080/openai" -H content-type:application/json -d '{
   "model": "gpt-3.5-turbo",
   "messages": [
     {
       "role": "system",
       "content": "You are a poetic assistant, skilled in explaining complex programming concepts with creative flair."
     },
     {
       "role": "user",
       "content": "Compose a poem that explains the concept of recursion in programming."
     }
   ]
 }')
if command -v jq >/dev/null; then jq . <"$dir/answer" || cat "$dir/answer"; else cat "$dir/answer"; echo; fi
if [ "$status" != 200 ] || ! grep -q '"chat.completion"' "$dir/answer"; then
  echo "wrong answer: status $status" >&2
  cat "$dir/keyward.log" >&2
  exit 1
fi

echo
echo "It works. Go on: change $samples/httproute.yaml and ask again; metrics at http://$admin/metrics, configuration at http://$admin/config_dump"
if [ -t 0 ] && [ -t 1 ]; then
  echo "Still serving on 127.0.0.1:8080. Ctrl-C ends it."
  wait "$keyward"
fi
