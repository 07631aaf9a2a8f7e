//! A response of the control plane, read: a change of the configuration, and the versions that go with it. Its errors name resources and
//! quote nothing of them.

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, Resource};
use policy::wire::{Delta, Named, TYPE_URL, decode_one};

/// See the module.
pub(super) struct Change {
    pub(super) delta: Delta,
    /// By name on the channel.
    pub(super) versions: Vec<(Box<str>, Box<str>)>,
}

impl Change {
    /// Reads all of a response, or says what is wrong with it.
    pub(super) fn read(response: DeltaDiscoveryResponse) -> Result<Self, String> {
        if response.type_url != TYPE_URL {
            return Err(format!("the response is not of type {TYPE_URL}"));
        }
        let mut upsert = Vec::with_capacity(response.resources.len());
        let mut versions = Vec::with_capacity(response.resources.len());
        // By value, so that each resource's bytes go when it is read: a whole configuration may be large.
        for resource in response.resources {
            versions.push((resource.name.as_str().into(), resource.version.as_str().into()));
            upsert.push(named(resource)?);
        }
        Ok(Self { delta: Delta { upsert, remove: response.removed_resources }, versions })
    }
}

fn named(Resource { name, resource, .. }: Resource) -> Result<Named, String> {
    let any = resource.filter(|any| any.type_url == TYPE_URL).ok_or_else(|| format!("resource {name}: it is not of type {TYPE_URL}"))?;
    let named = decode_one(&any.value).map_err(|error| format!("resource {name}: {error}"))?;
    match named.xds_name() == name {
        true => Ok(named),
        false => Err(format!("resource {name}: its content has another name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use envoy_types::pb::google::protobuf::Any;

    fn response(name: &str, value: &[u8]) -> DeltaDiscoveryResponse {
        let any = Any { type_url: TYPE_URL.to_owned(), value: value.to_vec() };
        let resource = Resource { name: name.to_owned(), version: "1".to_owned(), resource: Some(any), ..Resource::default() };
        DeltaDiscoveryResponse { type_url: TYPE_URL.to_owned(), resources: vec![resource], ..DeltaDiscoveryResponse::default() }
    }

    #[test]
    fn refuses_what_it_cannot_read_and_quotes_nothing() {
        let secret = br#"{"name":"s","type":"secret","spec":{"Token":"sk-canary"}}"#;
        let read = Change::read(response("secret/s", secret)).unwrap();
        assert_eq!((&*read.versions[0].0, &*read.versions[0].1), ("secret/s", "1"));
        let wrong = [
            response("secret/other", secret),
            response("secret/s", br#"{"name":"s","type":"secret","spec":"sk-canary"}"#),
            response("secret/s", b"sk-canary"),
            DeltaDiscoveryResponse { type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned(), ..response("s", secret) },
        ];
        for response in wrong {
            let problem = Change::read(response).map(|change| change.versions).unwrap_err();
            assert!(!problem.is_empty() && !problem.contains("canary"), "{problem}");
        }
    }
}
