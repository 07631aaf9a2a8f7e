//! `customHost`: where a provider is reached when not at its own address. Only what was written; names and ports are judged by
//! whoever resolves them.

use std::fmt;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Another host than the provider's own, such as a proxy or a compatible server.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct CustomHost {
    /// DNS name or IP address to connect to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Port to connect to.
    // Wider than the schema's uint32, so that an odd number in a file is a mistake to report and not an object that fails to parse.
    #[schemars(schema_with = "port_schema")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i64>,
    /// Name for SNI, certificate verification and the Host header. Defaults to `host`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Another path than the provider's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_override: Option<PathOverride>,
}

/// Gloo's `uint32`, whose schema has bounds and no `format`.
fn port_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "minimum": 0, "maximum": 4_294_967_295_u32 })
}

const AT_MOST_ONE_PATH: &str = "!(has(self.fullPath) && has(self.basePath))";

/// Another path than the provider's own: the whole of it, or its beginning.
#[derive(KubeSchema, Serialize, Deserialize, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(AT_MOST_ONE_PATH).message(
    "fullPath and basePath exclude each other: keep fullPath to replace the whole path of chat requests, or basePath to put a prefix before every path"
))]
pub struct PathOverride {
    /// The whole path and query of a chat request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_path: Option<String>,
    /// Put before the provider's paths: `/openai` makes `/openai/v1/chat/completions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_path: Option<String>,
}

/// A query may carry a key (`?key=`), so it is not printed.
impl fmt::Debug for PathOverride {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PathOverride")
            .field("full_path", &self.full_path.as_deref().map(without_query))
            .field("base_path", &self.base_path.as_deref().map(without_query))
            .finish()
    }
}

fn without_query(path: &str) -> &str {
    path.split_once('?').map_or(path, |(before, _)| before)
}
