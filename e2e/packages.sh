#!/usr/bin/env bash
# Installs those of Debian's packages that tests need and this machine lacks: packages.sh GROUP... Only then it needs root.
#   venv: for the real clients; pip: for the Go toolchain; cluster: what e2e/cluster runs; prometheus: what e2e/kube asks
set -euo pipefail

missing=()

main() {
  local group
  for group; do
    case $group in
      venv | pip | cluster | prometheus) "$group" ;;
      *) echo "usage: packages.sh [venv|pip|cluster|prometheus]..." >&2; exit 2 ;;
    esac
  done
  ((${#missing[@]})) || return 0
  if ! command -v apt-get >/dev/null || ((EUID)); then
    echo "missing, by their names in Debian: ${missing[*]}. Install them, or run this as root on Debian" >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# A package, and what succeeds where it is there: it may have come another way.
needs() {
  "${@:2}" >/dev/null 2>&1 || missing+=("$1")
}

venv() {
  needs python3 type python3
  needs python3-venv python3 -c 'import venv, ensurepip'
}

pip() {
  needs python3 type python3
  needs python3-pip python3 -m pip --version
}

cluster() {
  needs containerd type containerd ctr
  needs runc type runc
  needs containernetworking-plugins test -x /usr/lib/cni/ptp
  needs nftables type nft
  needs iptables type iptables
  needs conntrack type conntrack
  needs iproute2 type ip
  needs jq type jq
}

prometheus() {
  needs prometheus type -P prometheus
}

main "$@"
