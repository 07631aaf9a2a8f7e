//! `authToken`: from a source to a credential that may be sent, or the reason why none may. ARCHITECTURE.md's credential rules 2, 5 and 6: what
//! of a Secret is its value, fail closed, and a Secret goes only where it may. No token gets into a message.

use crds::credentials::{ENFORCE, Level, Levels};
use crds::{SecretRef, TokenSource};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1;
use policy::config::{Credential, Secret};
use policy::{Hostname, Reason, Token};

use super::{ALLOWED_HOSTS_ANNOTATION, text};
use crate::ObjectKey;
use crate::finding::Finding;
use crate::grant::{self, GLOO_GROUP, Referent, Referrer};
use crate::index::Index;

/// The key under which Gloo's guide keeps the token.
const AUTHORIZATION: &str = "Authorization";

/// Types of Secrets that hold tokens. Any other has a use of its own, such as a TLS key or a ServiceAccount's token, and an Upstream must
/// not carry it to a provider.
const TOKEN_TYPES: [&str; 3] = ["", "Opaque", "gloo.solo.io/header"];

/// Whose credential it is, and where it would go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) upstream: &'a ObjectKey,
    /// `spec.ai.PROVIDER.authToken`.
    pub(super) field: &'a str,
    /// Every name that the connection uses: the one to connect to and the one to verify.
    pub(super) hosts: [&'a str; 2],
    /// Of the Upstream's namespace.
    pub(super) levels: Levels,
}

/// The outcome. A credential that cannot be used comes with a finding that says why.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) credential: Credential,
    /// The token by resource name.
    pub(super) secret: Option<(String, Secret)>,
    pub(super) findings: Vec<Finding>,
}

impl Resolved {
    fn token(name: String, token: Token, findings: Vec<Finding>) -> Self {
        let secret = Some((name.clone(), Secret::Token(token)));
        Self { credential: Credential::Secret(name), secret, findings }
    }

    fn unavailable(reason: Reason, finding: Finding) -> Self {
        Self { credential: Credential::Unavailable(reason), secret: None, findings: vec![finding] }
    }
}

pub(super) fn resolve(index: &Index<'_>, source: TokenSource<'_>, place: Place<'_>) -> Resolved {
    match source {
        TokenSource::Passthrough => Resolved { credential: Credential::Passthrough, secret: None, findings: Vec::new() },
        TokenSource::Inline(token) => inline(token.expose(), place),
        TokenSource::SecretRef(reference) => secret_ref(index, reference, place),
    }
}

fn inline(given: &str, place: Place<'_>) -> Resolved {
    match usable(given) {
        Ok(token) => Resolved::token(format!("Inline/{}", place.upstream), token, Vec::new()),
        Err(unusable) => {
            let message = format!("the inline token {}", unusable.words());
            let finding = Finding::accepted(format!("{}.inline", place.field), "InvalidInlineToken", message);
            Resolved::unavailable(Reason::InlineMalformed, finding)
        }
    }
}

fn secret_ref(index: &Index<'_>, reference: &SecretRef, place: Place<'_>) -> Resolved {
    let field = format!("{}.secretRef", place.field);
    match find(index, reference, place) {
        Ok(Found { key, token, warnings }) => {
            let warnings = warnings.into_iter().map(|(reason, message)| Finding::refs_warning(field.clone(), reason, message));
            Resolved::token(format!("Secret/{key}"), token, warnings.collect())
        }
        Err(Miss { refuse, reason, message }) => Resolved::unavailable(refuse, Finding::refs(field, reason, message)),
    }
}

struct Found {
    key: ObjectKey,
    token: Token,
    /// Reasons and messages.
    warnings: Vec<(&'static str, String)>,
}

struct Miss {
    refuse: Reason,
    reason: &'static str,
    message: String,
}

fn find(index: &Index<'_>, reference: &SecretRef, place: Place<'_>) -> Result<Found, Miss> {
    let Some(name) = text::set(&reference.name) else {
        let message = "secretRef names no Secret: add its name".to_owned();
        return Err(Miss { refuse: Reason::SecretMissing, reason: "SecretNotFound", message });
    };
    let key = ObjectKey::new(text::set(&reference.namespace).unwrap_or(&place.upstream.namespace), name);
    permitted(index, &key, place)?;
    let Some(secret) = index.secret(&key) else {
        let message = format!(
            "Secret {key} does not exist: create it with kubectl create secret generic {} -n {} --from-literal={AUTHORIZATION}=TOKEN",
            key.name, key.namespace
        );
        return Err(Miss { refuse: Reason::SecretMissing, reason: "SecretNotFound", message });
    };
    let unbound = bound(secret, &key, place)?;
    let invalid = |message| Miss { refuse: Reason::SecretMalformed, reason: "InvalidSecret", message };
    if !TOKEN_TYPES.contains(&secret.type_.as_deref().unwrap_or_default()) {
        let message = format!("Secret {key} is of a type that is for something else than tokens: put the token into one of type Opaque");
        return Err(invalid(message));
    }
    let (data_key, bytes) = value(secret, &key).map_err(invalid)?;
    let text = std::str::from_utf8(&bytes.0)
        .map_err(|_| invalid(format!("key {data_key} of Secret {key} is not UTF-8 text: put the token there")))?;
    let token = usable(text).map_err(|unusable| invalid(format!("key {data_key} of Secret {key} {}", unusable.words())))?;
    let misnamed = (data_key != AUTHORIZATION).then(|| {
        let message = format!("Secret {key} has no key {AUTHORIZATION}; its only key {data_key} is used: rename it to {AUTHORIZATION}");
        ("UnusualSecretKey", message)
    });
    let unbound = unbound.map(|message| ("UnboundSecret", message));
    Ok(Found { key, token, warnings: unbound.into_iter().chain(misnamed).collect() })
}

/// "A Secret goes only where it may": another namespace must have granted it. Checked before existence, so that nothing is told of it.
fn permitted(index: &Index<'_>, key: &ObjectKey, place: Place<'_>) -> Result<(), Miss> {
    let from = Referrer { group: GLOO_GROUP, kind: "Upstream", namespace: &place.upstream.namespace };
    let to = Referent { group: "", kind: "Secret", key };
    match index.permits(from, to) {
        true => Ok(()),
        false => Err(Miss { refuse: Reason::SecretNotPermitted, reason: "RefNotPermitted", message: grant::refusal(from, to) }),
    }
}

/// A Secret with the annotation goes to the hosts it names and to no other. One without goes anywhere, unless the Upstream's namespace is
/// restricted. Otherwise the outcome is what would be said there, for a namespace that is about to be.
fn bound(secret: &v1::Secret, key: &ObjectKey, place: Place<'_>) -> Result<Option<String>, Miss> {
    let refused = |message| Miss { refuse: Reason::SecretNotPermitted, reason: "RefNotPermitted", message };
    let Some(allowed) = secret.metadata.annotations.as_ref().and_then(|all| all.get(ALLOWED_HOSTS_ANNOTATION)) else {
        return match (place.levels.enforce, place.levels.audit) {
            (Level::Restricted, _) => Err(refused(unbound(key, place))),
            (_, Level::Restricted) => Ok(Some(unbound(key, place))),
            _ => Ok(None),
        };
    };
    match place.hosts.into_iter().find(|host| !is_allowed(allowed, host)) {
        None => Ok(None),
        Some(host) => Err(refused(format!(
            "Secret {key} must not be sent to {host}: its annotation {ALLOWED_HOSTS_ANNOTATION} does not name that host"
        ))),
    }
}

/// Says the command for the hosts that the Upstream names; whether these are right is for the Secret's owner to say.
fn unbound(key: &ObjectKey, place: Place<'_>) -> String {
    let [host, hostname] = place.hosts;
    let hosts = if host == hostname { host.to_owned() } else { format!("{host},{hostname}") };
    format!(
        "Secret {key} may be sent anywhere, which {ENFORCE}: restricted forbids: kubectl annotate secret {} -n {} {ALLOWED_HOSTS_ANNOTATION}={hosts}",
        key.name, key.namespace
    )
}

/// Whether a comma-separated list of hosts, each with an optional leading `*.`, has a host. What cannot be read allows nothing.
fn is_allowed(list: &str, host: &str) -> bool {
    list.split(',').map(str::trim).any(|entry| match entry.starts_with("*.") {
        true => Hostname::parse(entry).is_ok_and(|allowed| host.parse::<std::net::IpAddr>().is_err() && allowed.matches(host)),
        false => !entry.is_empty() && entry.eq_ignore_ascii_case(host),
    })
}

/// The value to use: the key `Authorization`, else the only one there is (Gloo's HeaderSecret may have any one key).
fn value<'s>(secret: &'s v1::Secret, key: &ObjectKey) -> Result<(&'s str, &'s ByteString), String> {
    let mut data = secret.data.iter().flatten();
    if let Some(found) = secret.data.as_ref().and_then(|data| data.get_key_value(AUTHORIZATION)) {
        return Ok((found.0.as_str(), found.1));
    }
    match (data.next(), data.next()) {
        (None, _) => Err(format!("Secret {key} is empty: put the token under the key {AUTHORIZATION}")),
        (Some((name, value)), None) => Ok((name.as_str(), value)),
        (Some(_), Some(_)) => Err(format!("Secret {key} has several keys and none is {AUTHORIZATION}: put the token under that key")),
    }
}

/// Why a text cannot be a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unusable {
    Empty,
    Unexpanded,
    /// It would break a header, or be cut in two.
    NotPrintable,
}

impl Unusable {
    fn words(self) -> &'static str {
        match self {
            Self::Empty => "is empty: put the token there",
            Self::Unexpanded => "is a variable that nobody expanded: put the token itself there",
            Self::NotPrintable => {
                "has a space, a line break, a control character or a character outside ASCII inside: put the token alone there"
            }
        }
    }
}

/// The token in a text: trimmed, without a leading `Bearer `, which is put back per provider.
fn usable(text: &str) -> Result<Token, Unusable> {
    let trimmed = text.trim();
    let token = match trimmed.split_once(char::is_whitespace) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim_start(),
        Some(_) | None if trimmed.eq_ignore_ascii_case("bearer") => "",
        Some(_) | None => trimmed,
    };
    match () {
        () if token.is_empty() => Err(Unusable::Empty),
        () if is_unexpanded(token) => Err(Unusable::Unexpanded),
        () if !token.bytes().all(|b| b.is_ascii_graphic()) => Err(Unusable::NotPrintable),
        () => Ok(Token::new(token)),
    }
}

/// `$TOKEN`, `${TOKEN}`, `$(TOKEN)`.
fn is_unexpanded(token: &str) -> bool {
    let Some(rest) = token.strip_prefix('$') else { return false };
    let inner = |open: char, close: char| rest.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    let name = inner('{', '}').or_else(|| inner('(', ')')).unwrap_or(rest);
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, proptest};

    #[test]
    fn finds_the_token_in_what_people_write() {
        for given in ["sk-1", " sk-1\n", "Bearer sk-1", "bearer   sk-1", "BEARER\tsk-1\r\n"] {
            assert_eq!(usable(given).map(|token| token.expose().to_owned()), Ok("sk-1".to_owned()), "{given:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_token() {
        for given in ["", "  ", "Bearer", "Bearer ", "\n"] {
            assert_eq!(usable(given).err(), Some(Unusable::Empty), "{given:?}");
        }
        for given in ["$TOKEN", "${TOKEN}", "$(TOKEN)", "Bearer $OPENAI_API_KEY", "$"] {
            assert_eq!(usable(given).err(), Some(Unusable::Unexpanded), "{given:?}");
        }
        for given in ["sk\r\nx-evil: 1", "sk 1", "sk-ä", "sk\u{0}1", "Basic abc"] {
            assert_eq!(usable(given).err(), Some(Unusable::NotPrintable), "{given:?}");
        }
    }

    #[test]
    fn sends_a_bound_secret_to_named_hosts_only() {
        let list = "api.openai.com, *.example.com,,*";
        for host in ["api.openai.com", "a.example.com", "a.b.example.com"] {
            assert!(is_allowed(list, host), "{host}");
        }
        for host in ["openai.com", "example.com", "evilexample.com", "api.openai.com.evil", "", "10.0.0.1", "anything"] {
            assert!(!is_allowed(list, host), "{host}");
        }
        assert!(!is_allowed("", "api.openai.com") && is_allowed("10.0.0.1", "10.0.0.1"));
    }

    proptest! {
        #[test]
        fn any_usable_token_can_stand_in_a_header(text in "\\PC*") {
            if let Ok(token) = usable(&text) {
                prop_assert!(http::HeaderValue::try_from(token.expose()).is_ok());
            }
        }

        #[test]
        fn a_list_without_the_host_and_without_wildcard_never_allows_it(list in "[a-c., ]{0,20}", host in "[d-f]{1,5}(\\.[d-f]{1,5}){0,2}") {
            prop_assert!(!is_allowed(&list, &host));
        }
    }
}
