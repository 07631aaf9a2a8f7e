# From `kubectl get pods -A -o json` to targets of a Prometheus without service discovery of its own for Kubernetes, such as Debian's: one
# per port of a container, with the labels that `role: pod` gives, so that the same relabelling is tested.
def as_label: gsub("[^a-zA-Z0-9_]"; "_");
[
  .items[] | select(.status.podIP != null) as $pod
  | .spec.containers[] as $container
  | $container.ports[]? as $port
  | {
      targets: ["\(if $pod.status.podIP | contains(":") then "[\($pod.status.podIP)]" else $pod.status.podIP end):\($port.containerPort)"],
      labels: ({
        __meta_kubernetes_namespace: $pod.metadata.namespace,
        __meta_kubernetes_pod_name: $pod.metadata.name,
        __meta_kubernetes_pod_phase: $pod.status.phase,
        __meta_kubernetes_pod_container_name: $container.name,
        __meta_kubernetes_pod_container_port_name: ($port.name // "")
      } + (($pod.metadata.labels // {}) | with_entries(.key |= "__meta_kubernetes_pod_label_" + as_label)))
    }
]
