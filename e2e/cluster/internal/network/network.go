// Package network lays out the addresses of a cluster inside its network namespace. Nothing outside the namespace changes, so
// every cluster has the same addresses.
package network

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
)

// NodeAddress is the node's own. Services of type LoadBalancer get theirs from FirstBalancer to LastBalancer; RequestedBalancer
// is kept for those that ask for it.
var (
	NodeAddress       = netip.MustParseAddr("172.30.0.1")
	FirstBalancer     = netip.MustParseAddr("172.30.0.10")
	LastBalancer      = netip.MustParseAddr("172.30.0.199")
	RequestedBalancer = netip.MustParseAddr("172.30.0.200")
)

// The node's address lies on a bridge, because not every kernel has dummy devices. The default route leads nowhere; without it,
// dialling a Service address fails before kube-proxy's rules see the packet.
const layout = `
link set lo up
link add node0 type bridge
address add %s/24 dev node0
link set node0 up
route add default dev node0
`

// Create runs inside a new network namespace.
func Create() error {
	command := exec.Command("ip", "-batch", "-")
	command.Stdin = strings.NewReader(strings.TrimSpace(fmt.Sprintf(layout, NodeAddress)))
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s", err, output)
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
}
