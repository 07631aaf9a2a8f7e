// Package main is CoreDNS with the few plugins that the cluster's DNS needs. It has a module of its own, so that Kubernetes and
// CoreDNS are each built with the dependencies that they were released with.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
	_ "github.com/coredns/coredns/plugin/template"
)

// Plugins see a query in this order. It is CoreDNS's own but for template, which comes last to answer what nobody else could.
func init() {
	dnsserver.Directives = []string{"reload", "ready", "health", "errors", "cache", "hosts", "kubernetes", "template"}
}

func main() {
	coremain.Run()
}
