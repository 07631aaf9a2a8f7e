#!/usr/bin/env bash
# Lists metrics that dashboard.json or rules.yaml asks for and that the given /metrics pages do not have, and fails if there are any:
#   check-dashboard.sh [-a NAME]... PAGE...
# PAGE: a saved page of an operator, a webhook or a proxy, one of each at least. A metric with labels is on a page only once something was
# counted: take the pages after a request to a provider with an inline token. -a NAME: may be missing all the same, because in a sound
# cluster it never counts.
# Needs bash and jq.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
component=$here/../../config/components/prometheus

main() {
  local allowed=up missing
  while getopts a: option; do
    [[ $option == a ]] || exit 2
    allowed+=$'\n'$OPTARG
  done
  shift $((OPTIND - 1))
  (($#)) || { echo "usage: check-dashboard.sh [-a NAME]... PAGE..." >&2; exit 2; }
  local asked shown
  asked=$({ dashboard; rules; } | names | sort -u)
  [[ -n $asked ]] || { echo "no metric found in dashboard.json and rules.yaml" >&2; exit 2; }
  shown=$({ cat "$@" | shown; echo "$allowed"; } | sort -u)
  missing=$(comm -23 <(echo "$asked") <(echo "$shown"))
  [[ -z $missing ]] || { echo "$missing"; exit 1; }
}

# Every query, one a line.
dashboard() {
  jq -r '[.. | objects | (.expr?, .definition?) | strings] | unique[] | gsub("\\s+"; " ")' "$component/dashboard.json"
}

# The value of each `expr:`, with its continuation lines.
rules() {
  awk '
    function flush() { if (text != "") print text; text = "" }
    { match($0, /^ */); indent = RLENGTH }
    open && indent > at { text = text " " $0; next }
    { flush(); open = 0 }
    /^ *(- )?expr:/ { open = 1; at = indent; text = $0; sub(/^ *(- )?expr: *(>-?|\|-?)? */, "", text) }
    END { flush() }
  ' "$component/rules.yaml"
}

# Metric names in PromQL: what is left without strings, selectors, ranges, label lists, numbers, functions and keywords. Of
# label_values(METRIC, LABEL), which is Grafana's, the label goes.
names() {
  sed -E '
    s/"[^"]*"//g
    s/\{[^}]*\}//g
    s/\[[^]]*\]//g
    s/, *[a-z_]+\)$/)/
    s/\b(by|without|on|ignoring|group_left|group_right) *\([^)]*\)/ /g
    s/\b[a-z_][a-z0-9_]* *\(/(/g
    s/\b(and|or|unless|bool|offset|by|without)\b/ /g
    s/\b[0-9][0-9.a-z]*\b/ /g
  ' | grep -oE '[a-zA-Z_:][a-zA-Z0-9_:]*'
}

# Names of the series on a page, by their types: a histogram has three.
shown() {
  awk '$1 == "#" && $2 == "TYPE" { print $3 } $1 == "#" && $2 == "TYPE" && $4 == "histogram" { print $3 "_bucket\n" $3 "_sum\n" $3 "_count" }'
}

main "$@"
