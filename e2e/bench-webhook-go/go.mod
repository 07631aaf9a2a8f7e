module keyward.dev/e2e/bench-webhook-go

go 1.27.0

require (
	k8s.io/api v0.37.2
	k8s.io/apimachinery v0.37.2
	sigs.k8s.io/controller-runtime v0.25.2
)
