//! The proxies' pod: as little as a pod can be allowed. It runs as nobody, writes nowhere and has no access to the API server; its token is
//! good for the operator's config channel alone.

use crds::GatewayParametersSpec;
use crds::gateway_parameters::{TrustedCa, TrustedCaKind};
use serde_json::{Value, json};

use super::{ADMIN_PORT, InfraSettings, Writer};

/// The audience of the proxies' token.
const AUDIENCE: &str = "keyward.dev/xds";
/// Until the endpoints of a pod that goes are known everywhere, it accepts as before.
const LINGER_SECONDS: u32 = 5;
const DRAIN_SECONDS: u32 = 30;
/// The user that distroless images call nonroot.
const NOBODY: u32 = 65532;

pub(super) fn template(writer: &Writer, parameters: &GatewayParametersSpec, settings: &InfraSettings) -> Value {
    let mut volumes = vec![
        json!({ "name": "xds-ca", "configMap": { "name": writer.key.name, "items": [{ "key": "ca.crt", "path": "ca.crt" }] } }),
        json!({ "name": "xds-token", "projected": { "sources": [
            { "serviceAccountToken": { "audience": AUDIENCE, "expirationSeconds": 3600, "path": "token" } },
        ] } }),
    ];
    volumes.extend(parameters.trusted_cas.iter().enumerate().map(|(nth, ca)| trusted_volume(nth, ca)));
    json!({
        "metadata": { "labels": writer.labels, "annotations": writer.annotations },
        "spec": {
            "serviceAccountName": writer.key.name,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": LINGER_SECONDS + DRAIN_SECONDS + 10,
            "hostAliases": parameters.host_aliases,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": NOBODY,
                "runAsGroup": NOBODY,
                "seccompProfile": { "type": "RuntimeDefault" },
                // So that a listener's port is the container's port.
                "sysctls": [{ "name": "net.ipv4.ip_unprivileged_port_start", "value": "0" }],
            },
            "topologySpreadConstraints": [{
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": { "matchLabels": writer.selector },
            }],
            "containers": [container(parameters, settings)],
            "volumes": volumes,
        },
    })
}

fn container(parameters: &GatewayParametersSpec, settings: &InfraSettings) -> Value {
    let mut args = vec![
        "--bind=0.0.0.0".to_owned(),
        "--log-format=json".to_owned(),
        format!("--admin-addr=0.0.0.0:{ADMIN_PORT}"),
        format!("--drain-timeout={DRAIN_SECONDS}"),
        format!("--xds-address={}", settings.xds_address),
        "--xds-ca=/etc/keyward/xds/ca.crt".to_owned(),
        "--xds-token=/var/run/secrets/keyward/token".to_owned(),
    ];
    let mut mounts = vec![
        json!({ "name": "xds-ca", "mountPath": "/etc/keyward/xds", "readOnly": true }),
        json!({ "name": "xds-token", "mountPath": "/var/run/secrets/keyward", "readOnly": true }),
    ];
    for nth in 0..parameters.trusted_cas.len() {
        args.push(format!("--upstream-ca=/etc/keyward/trusted/{nth}/ca.crt"));
        mounts.push(json!({ "name": format!("trusted-{nth}"), "mountPath": format!("/etc/keyward/trusted/{nth}"), "readOnly": true }));
    }
    let probe = |path: &str, period: u32, failures: u32| json!({ "httpGet": { "path": path, "port": "admin" }, "periodSeconds": period, "failureThreshold": failures });
    json!({
        "name": "proxy",
        "image": parameters.image.as_ref().unwrap_or(&settings.proxy_image),
        "imagePullPolicy": parameters.image_pull_policy.unwrap_or(crds::gateway_parameters::ImagePullPolicy::IfNotPresent),
        "args": args,
        "ports": [{ "name": "admin", "containerPort": ADMIN_PORT, "protocol": "TCP" }],
        "resources": parameters.resources.clone().unwrap_or_else(|| json!({ "requests": { "cpu": "50m", "memory": "32Mi" } })),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
        "readinessProbe": probe("/readyz", 1, 1),
        "livenessProbe": probe("/livez", 10, 3),
        "lifecycle": { "preStop": { "sleep": { "seconds": LINGER_SECONDS } } },
        "volumeMounts": mounts,
    })
}

fn trusted_volume(nth: usize, ca: &TrustedCa) -> Value {
    let items = json!([{ "key": ca.key.as_deref().unwrap_or("ca.crt"), "path": "ca.crt" }]);
    let name = format!("trusted-{nth}");
    match ca.kind {
        TrustedCaKind::ConfigMap => json!({ "name": name, "configMap": { "name": ca.name, "items": items } }),
        TrustedCaKind::Secret => json!({ "name": name, "secret": { "secretName": ca.name, "items": items } }),
    }
}
