// Package supervise brings a cluster up inside its sandbox and keeps its parts running until it is told to stop.
package supervise

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"k8s.io/client-go/kubernetes"

	"keyward.dev/e2e/cluster/internal/addons"
	"keyward.dev/e2e/cluster/internal/image"
	"keyward.dev/e2e/cluster/internal/loadbalancer"
	"keyward.dev/e2e/cluster/internal/network"
	"keyward.dev/e2e/cluster/internal/parts"
	"keyward.dev/e2e/cluster/internal/state"
)

// Done is the report's last line when the cluster has come up.
const Done = "ready"

// Options of a start.
type Options struct {
	Audit parts.AuditPolicy
	// Patience is how long the start may take.
	Patience time.Duration
}

// Run returns when ctx ends, or when the cluster did not come up in time. It reports each step as one line.
func Run(ctx context.Context, cluster state.Cluster, options Options, report io.WriteCloser) error {
	runner := &runner{cluster: cluster}
	defer runner.running.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	limited, cancel := context.WithTimeoutCause(ctx, options.Patience, errTooLate)
	defer cancel()
	if err := start(ctx, runner, options, &steps{ctx: limited, began: time.Now(), report: report}); err != nil {
		fmt.Fprintln(report, "failed:", err)
		return err
	}
	fmt.Fprintln(report, Done)
	if err := report.Close(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// start lets each step wait for what it needs and for no more: images are loaded while the control plane comes up.
func start(ctx context.Context, runner *runner, options Options, steps *steps) error {
	node := parts.Node{Name: "node", Address: network.NodeAddress.String(), ControlGroup: runner.cluster.Name}
	if err := prepare(runner.cluster, node); err != nil {
		return err
	}
	client, err := connect(runner.cluster)
	if err != nil {
		return err
	}

	runner.keep(ctx, parts.Etcd(), parts.Containerd(), parts.APIServer(node, options.Audit))
	images := steps.begin("images", func(ctx context.Context) error { return loadImages(ctx, runner.cluster) })
	if err := steps.take("API server", func(ctx context.Context) error { return reach(ctx, client) }); err != nil {
		return err
	}
	runner.keep(ctx, parts.ControllerManager(), parts.Scheduler(), parts.KubeProxy(node), parts.Kubelet(node))
	runner.running.Go(func() { balance(ctx, client) })
	return settle(runner.cluster, client, node, images, steps)
}

// settle comes after the images, because kubelet waits ten seconds before it looks again for one that was missing.
func settle(cluster state.Cluster, client kubernetes.Interface, node parts.Node, images <-chan error, steps *steps) error {
	if err := <-images; err != nil {
		return err
	}
	err := steps.take("objects", func(ctx context.Context) error {
		return addons.Apply(ctx, cluster.Program("kubectl"), cluster.Kubeconfig())
	})
	if err != nil {
		return err
	}
	err = steps.take("node", func(ctx context.Context) error { return addons.AwaitNode(ctx, client, node.Name) })
	if err != nil {
		return err
	}
	return steps.take("DNS", func(ctx context.Context) error { return addons.AwaitDNS(ctx, client) })
}

func loadImages(ctx context.Context, cluster state.Cluster) error {
	archives, err := cluster.Images()
	if err != nil {
		return err
	}
	if err := await(ctx, func() error { return image.Reach(cluster.ContainerdSocket()) }); err != nil {
		return err
	}
	return image.Load(ctx, cluster.ContainerdSocket(), archives)
}

func reach(ctx context.Context, client kubernetes.Interface) error {
	return await(ctx, func() error {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

func balance(ctx context.Context, client kubernetes.Interface) {
	pool := loadbalancer.NewPool(network.FirstBalancer, network.LastBalancer, network.RequestedBalancer)
	if err := loadbalancer.Run(ctx, client, pool); err != nil && ctx.Err() == nil {
		slog.Error("load balancer", "error", err)
	}
}
