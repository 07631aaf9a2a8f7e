//! Filters with everything prepared that does not depend on the request.

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::{Cors, Filters, HeaderChanges, HeaderLiteral, HeaderText, PathChange, Redirect};
use crate::path::target;

/// Most rules have few filters, and there are many rules: what is absent takes a pointer.
#[derive(Debug, Default)]
pub(crate) struct CompiledFilters {
    pub(crate) request: Option<Box<HeaderEdits>>,
    pub(crate) response: Option<Box<HeaderEdits>>,
    pub(crate) rewrite: Option<Box<CompiledRewrite>>,
    rare: Option<Box<RareFilters>>,
}

#[derive(Debug)]
struct RareFilters {
    redirect: Option<Box<Redirect>>,
    cors: Option<Box<Cors>>,
}

#[derive(Debug, Default)]
pub(crate) struct CompiledRewrite {
    pub(crate) hostname: Option<HeaderValue>,
    pub(crate) path: Option<CompiledPath>,
}

#[derive(Debug)]
pub(crate) enum CompiledPath {
    /// Ready to send where the request has no query.
    Full {
        ready: PathAndQuery,
    },
    Prefix(PathChange),
}

#[derive(Debug, Default)]
pub(crate) struct HeaderEdits {
    set: Box<[(HeaderName, HeaderValue)]>,
    add: Box<[(HeaderName, HeaderValue)]>,
    remove: Box<[HeaderName]>,
}

impl CompiledFilters {
    pub(crate) fn compile(filters: &Filters) -> Result<Self, String> {
        let Filters { request, response, redirect, rewrite, mirrors: _, cors } = filters;
        let hostname = rewrite.hostname.as_deref().map(HeaderValue::try_from).transpose().map_err(|e| e.to_string())?;
        let path = rewrite.path.as_ref().map(CompiledPath::compile).transpose()?;
        let rare = (redirect.is_some() || cors.is_some()).then(|| Box::new(RareFilters { redirect: redirect.clone(), cors: cors.clone() }));
        Ok(Self {
            request: HeaderEdits::compile(request)?,
            response: HeaderEdits::compile(response)?,
            rewrite: (hostname.is_some() || path.is_some()).then(|| Box::new(CompiledRewrite { hostname, path })),
            rare,
        })
    }

    pub(crate) fn redirect(&self) -> Option<&Redirect> {
        self.rare.as_deref()?.redirect.as_deref()
    }

    pub(crate) fn cors(&self) -> Option<&Cors> {
        self.rare.as_deref()?.cors.as_deref()
    }
}

impl CompiledPath {
    fn compile(change: &PathChange) -> Result<Self, String> {
        match change {
            PathChange::Full(full) => {
                let ready = target(full, None).map_err(|_| "the path of a rewrite cannot be asked for".to_owned())?;
                Ok(Self::Full { ready })
            }
            PathChange::Prefix(_) => Ok(Self::Prefix(change.clone())),
        }
    }
}

impl HeaderEdits {
    fn compile(changes: &HeaderChanges) -> Result<Option<Box<Self>>, String> {
        if changes.is_empty() {
            return Ok(None);
        }
        let pairs = |literals: &[HeaderLiteral]| literals.iter().map(pair).collect::<Result<Box<[_]>, String>>();
        let name = |name: &String| HeaderName::try_from(name).map_err(|_| "a header to remove has no valid name".to_owned());
        let remove = changes.remove.iter().map(name).collect::<Result<_, _>>()?;
        Ok(Some(Box::new(Self { set: pairs(&changes.set)?, add: pairs(&changes.add)?, remove })))
    }

    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
        for name in &self.remove {
            headers.remove(name);
        }
    }
}

fn pair(literal: &HeaderLiteral) -> Result<(HeaderName, HeaderValue), String> {
    let name = HeaderName::try_from(&literal.name).map_err(|_| "a header to set or add has no valid name".to_owned())?;
    let (text, sensitive) = match &literal.value {
        HeaderText::Plain(text) => (text.as_str(), false),
        HeaderText::Sensitive(token) => (token.expose(), true),
    };
    let mut value = HeaderValue::try_from(text).map_err(|e| format!("value of header {name}: {e}"))?;
    value.set_sensitive(sensitive);
    Ok((name, value))
}
