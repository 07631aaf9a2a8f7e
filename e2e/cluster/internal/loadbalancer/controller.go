// From Services to addresses in their status. Which address is the pool's choice.

package loadbalancer

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// Controller watches Services. One goroutine does all the work, so the pool needs no lock.
type Controller struct {
	client   kubernetes.Interface
	pool     *Pool
	services listers.ServiceLister
	queue    workqueue.TypedRateLimitingInterface[cache.ObjectName]
	// waiting are Services that got no address and try again when one is freed.
	waiting map[cache.ObjectName]bool
}

// Run serves until the context ends.
func Run(ctx context.Context, client kubernetes.Interface, pool *Pool) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	informer := factory.Core().V1().Services()
	controller := &Controller{
		client:   client,
		pool:     pool,
		services: informer.Lister(),
		queue:    workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[cache.ObjectName]()),
		waiting:  map[cache.ObjectName]bool{},
	}
	registration, err := informer.Informer().AddEventHandler(controller.handlers())
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		return ctx.Err()
	}
	context.AfterFunc(ctx, controller.queue.ShutDown)
	for controller.next(ctx) {
	}
	return nil
}

func (c *Controller) handlers() cache.ResourceEventHandlerFuncs {
	enqueue := func(object any) {
		if name, err := cache.DeletionHandlingObjectToName(object); err == nil {
			c.queue.Add(name)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, object any) { enqueue(object) },
		DeleteFunc: enqueue,
	}
}

func (c *Controller) next(ctx context.Context) bool {
	name, shutdown := c.queue.Get()
	if shutdown {
		return false
	}
	defer c.queue.Done(name)
	if err := c.reconcile(ctx, name); err != nil {
		slog.Warn("load balancer", "service", name.String(), "error", err)
		c.queue.AddRateLimited(name)
		return true
	}
	c.queue.Forget(name)
	return true
}

func (c *Controller) reconcile(ctx context.Context, name cache.ObjectName) error {
	service, err := c.services.Services(name.Namespace).Get(name.Name)
	if errors.IsNotFound(err) {
		c.release(name)
		return nil
	}
	if err != nil {
		return err
	}
	if !ours(service) {
		c.release(name)
		return nil
	}
	return c.publish(ctx, service, c.assign(name, service))
}

// ours leaves alone what names another load balancer: "the field spec.loadBalancerClass ... is claimed by that class".
func ours(service *core.Service) bool {
	return service.Spec.Type == core.ServiceTypeLoadBalancer && service.Spec.LoadBalancerClass == nil
}

func (c *Controller) assign(name cache.ObjectName, service *core.Service) []core.LoadBalancerIngress {
	requested, err := netip.ParseAddr(service.Spec.LoadBalancerIP)
	if err != nil && service.Spec.LoadBalancerIP != "" {
		c.release(name)
		return nil
	}
	before, held := c.pool.held[name.String()]
	address, ok := c.pool.Assign(name.String(), requested)
	if held && before != address {
		c.retryWaiting()
	}
	if !ok {
		c.waiting[name] = true
		return nil
	}
	delete(c.waiting, name)
	return []core.LoadBalancerIngress{{IP: address.String()}}
}

func (c *Controller) release(name cache.ObjectName) {
	delete(c.waiting, name)
	if c.pool.Release(name.String()) {
		c.retryWaiting()
	}
}

func (c *Controller) retryWaiting() {
	for name := range c.waiting {
		c.queue.Add(name)
	}
}

func (c *Controller) publish(ctx context.Context, service *core.Service, want []core.LoadBalancerIngress) error {
	if same(service.Status.LoadBalancer.Ingress, want) {
		return nil
	}
	status := map[string]any{"loadBalancer": map[string]any{"ingress": want}}
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return err
	}
	services := c.client.CoreV1().Services(service.Namespace)
	_, err = services.Patch(ctx, service.Name, types.MergePatchType, patch, meta.PatchOptions{}, "status")
	if errors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	slog.Info("load balancer", "service", service.Namespace+"/"+service.Name, "ingress", want)
	return nil
}

func same(have, want []core.LoadBalancerIngress) bool {
	if len(have) != len(want) {
		return false
	}
	return len(have) == 0 || have[0].IP == want[0].IP
}
