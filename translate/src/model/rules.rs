//! A route's rules as text. They are read when the route is compiled and not needed until it is compiled anew, which is seldom: as text
//! they take a third of the room. Not printable: a value may be a credential.

use serde_json::Value;

use super::RouteRule;

/// Rules as JSON.
pub(crate) struct Rules(Box<str>);

impl Rules {
    pub(super) fn write(rules: &[RouteRule]) -> serde_json::Result<Self> {
        let mut json = serde_json::to_value(rules)?;
        thin(&mut json);
        Ok(Self(json.to_string().into_boxed_str()))
    }

    #[expect(clippy::expect_used, reason = "they were written by the same types")]
    pub(crate) fn read(&self) -> Vec<RouteRule> {
        serde_json::from_str(&self.0).expect("rules as they were written")
    }
}

/// Drops what is read as if it were there: nulls and empty lists.
fn thin(json: &mut Value) {
    match json {
        Value::Array(items) => items.iter_mut().for_each(thin),
        Value::Object(fields) => {
            fields.retain(|_, value| !(value.is_null() || value.as_array().is_some_and(Vec::is_empty)));
            fields.values_mut().for_each(thin);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Route, RouteKind};

    #[test]
    fn reads_what_it_wrote() {
        let reference = json!({ "name": "a", "port": 1, "weight": 0, "namespace": "other", "filters": [{ "type": "Teleport" }] });
        let modifier = json!({ "set": [{ "name": "a", "value": "" }], "remove": ["b"] });
        let filters = json!([
            { "type": "RequestHeaderModifier", "requestHeaderModifier": modifier },
            { "type": "RequestMirror", "requestMirror": { "backendRef": { "name": "m" }, "fraction": { "numerator": 1 } } },
            { "type": "URLRewrite", "urlRewrite": { "path": { "type": "ReplacePrefixMatch", "replacePrefixMatch": "" } } },
            { "type": "CORS", "cors": { "allowOrigins": ["*"], "allowCredentials": true, "maxAge": 0 } },
        ]);
        let rule = json!({
            "matches": [{ "path": { "type": "Exact", "value": "/a" }, "method": "GET", "headers": [{ "name": "h", "value": "v" }] }],
            "filters": filters,
            "backendRefs": [reference],
            "timeouts": { "request": "1s" },
            "retry": { "codes": [503], "attempts": 0 },
            "sessionPersistence": {},
        });
        let spec = json!({ "rules": [rule, {}] });
        let route = Route::read(RouteKind::Http, json!({ "metadata": { "name": "r" }, "spec": spec })).unwrap();
        let (read, written) = (route.rules.read(), &route.rules.0);
        assert_eq!((read.len(), read[0].filters.len(), read[0].session_persistence), (2, 4, true));
        assert_eq!(Rules::write(&read).unwrap().0, *written);
        let mut whole = serde_json::to_value(&read).unwrap();
        thin(&mut whole);
        assert_eq!(whole.to_string(), **written);
        assert_eq!(read[0].backend_refs[0].weight, Some(0));
    }
}
