// Command bench-webhook-go is the webhook that `just bench-webhook` compares ours with: the core of the same rule, written as the
// documentation of controller-runtime has it. It looks at authToken.inline of every provider and of every pool, and takes levels from
// labels of namespaces by the manager's cache.
package main

import (
	"flag"
	"os"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
)

func main() {
	port := flag.Int("port", 8443, "port of reviews")
	probes := flag.String("probes", ":8081", "address of probes")
	certificates := flag.String("tls", "/tls", "directory of tls.crt and tls.key")
	flag.Parse()
	ctrl.SetLogger(zap.New())
	if err := run(*port, *probes, *certificates); err != nil {
		ctrl.Log.Error(err, "ended")
		os.Exit(1)
	}
}

func run(port int, probes, certificates string) error {
	scheme := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(scheme))
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                 scheme,
		HealthProbeBindAddress: probes,
		WebhookServer:          webhook.NewServer(webhook.Options{Port: port, CertDir: certificates}),
	})
	if err != nil {
		return err
	}
	server := manager.GetWebhookServer()
	server.Register("/validate", &webhook.Admission{Handler: &handler{namespaces: manager.GetClient()}})
	if err := manager.AddReadyzCheck("webhook", server.StartedChecker()); err != nil {
		return err
	}
	return manager.Start(ctrl.SetupSignalHandler())
}
