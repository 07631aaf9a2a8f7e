// Package conformance runs the official Gateway API conformance suite, as published and unmodified, against the cluster of
// KUBECONFIG. It adds no test, no option and no patch: whatever is asked comes from the suite's own flags.
//
// The tests dial the Gateways' addresses, so they run inside the cluster's network namespace (see ../cluster/README.md):
//
//	nsenter --net=/var/run/netns/keyward-e2e env KUBECONFIG=$PWD/target/cluster/kubeconfig \
//	  target/cluster-bin/conformance.test -test.run TestConformance -test.v -test.timeout 90m -test.parallel 4 \
//	  --gateway-class=keyward --conformance-profiles=GATEWAY-HTTP,GATEWAY-GRPC \
//	  --usable-address=172.30.0.200 --unusable-address=203.0.113.9 \
//	  --organization=keyward --project=keyward --url=https://keyward.dev --version=v0.1.0 --contact=@keyward \
//	  --report-output=$PWD/target/conformance/report.yaml
//
// Which features are tested is not said here: the suite reads GatewayClass.status.supportedFeatures. The report is written at
// the end of a whole run, also when tests failed; --run-test NAME runs one test and reports it alone. The report's directory
// must exist.
package conformance

import (
	"testing"

	"sigs.k8s.io/gateway-api/conformance"
)

func TestConformance(t *testing.T) {
	conformance.RunConformance(t)
}
