//! Who is at the other end of a config stream: a pod and its ServiceAccount, as the API server says of the token. A token that is bound to no
//! pod is refused, since nothing would end it before its time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::PostParams;
use kube::{Api, Client};
use serde::Deserialize;
use tokio::sync::Semaphore;

/// The audience that tokens for the config channel have, so that none of another kind can be used here, nor one of ours elsewhere.
pub const AUDIENCE: &str = "keyward.dev/xds";
/// Reviews at a time: a thousand proxies that come back at once must not be a thousand requests at once.
const REVIEWS: usize = 16;
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// Asks the API server about tokens.
pub struct Authenticator {
    reviews: Api<TokenReview>,
    permits: Arc<Semaphore>,
}

/// Who a token belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Namespace of the ServiceAccount.
    pub namespace: String,
    /// Name of the ServiceAccount.
    pub service_account: String,
    /// The pod that the token was made for, in the same namespace.
    pub pod: String,
    /// Its uid.
    pub pod_uid: String,
    /// When the token ends.
    pub expires: Option<SystemTime>,
}

/// Why nobody was recognized. Holds nothing of the token.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The token is not one that may be used here.
    #[error("the token is not accepted: {0}")]
    Rejected(String),
    /// It could not be asked.
    #[error("the token cannot be reviewed now: {0}")]
    Unavailable(String),
}

impl Authenticator {
    /// By an API server.
    pub fn new(client: Client) -> Self {
        Self { reviews: Api::all(client), permits: Arc::new(Semaphore::new(REVIEWS)) }
    }

    /// Whose token it is, if it is good and for us.
    pub async fn review(&self, token: &str) -> Result<Identity, AuthError> {
        let _permit = self.permits.acquire().await.map_err(|error| AuthError::Unavailable(error.to_string()))?;
        let spec = TokenReviewSpec { token: token.to_owned(), audiences: Some(vec![AUDIENCE.to_owned()]) };
        let review = TokenReview { spec, ..TokenReview::default() };
        let reviewed = self.reviews.create(&PostParams::default(), &review).await;
        let reviewed = reviewed.map_err(|error| AuthError::Unavailable(error.to_string()))?;
        let expires = expiry(token);
        identify(reviewed.status.unwrap_or_default()).map(|identity| Identity { expires, ..identity })
    }
}

fn identify(status: TokenReviewStatus) -> Result<Identity, AuthError> {
    let rejected = |why: &str| AuthError::Rejected(why.to_owned());
    if status.authenticated != Some(true) {
        return Err(rejected("it is not valid, has expired, or is for another audience"));
    }
    // "A client … that sets the spec.audiences field should validate that a compatible audience identifier is returned".
    if !status.audiences.unwrap_or_default().iter().any(|audience| audience == AUDIENCE) {
        return Err(rejected("it is for another audience"));
    }
    let user = status.user.unwrap_or_default();
    let account = user.username.as_deref().and_then(|name| name.strip_prefix("system:serviceaccount:")?.split_once(':'));
    let (namespace, service_account) = account.ok_or_else(|| rejected("it is not a ServiceAccount's"))?;
    let claim = |name: &str| user.extra.as_ref().and_then(|extra| extra.get(name)?.first().cloned());
    let bound = claim(POD_NAME).zip(claim(POD_UID));
    let (pod, pod_uid) = bound.ok_or_else(|| rejected("it is bound to no pod: a proxy shows the token that its pod mounts"))?;
    Ok(Identity { namespace: namespace.to_owned(), service_account: service_account.to_owned(), pod, pod_uid, expires: None })
}

/// The `exp` of a token that was found good.
fn expiry(token: &str) -> Option<SystemTime> {
    #[derive(Deserialize)]
    struct Claims {
        exp: u64,
    }
    let payload = base64url(token.split('.').nth(1)?)?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(claims.exp))
}

fn base64url(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::authentication::v1::UserInfo;

    use super::*;

    fn status(audience: &str, username: &str) -> TokenReviewStatus {
        let extra = [(POD_NAME, "gw-keyward-a"), (POD_UID, "u")].map(|(name, value)| (name.to_owned(), vec![value.to_owned()]));
        let user = UserInfo { username: Some(username.to_owned()), extra: Some(extra.into()), ..UserInfo::default() };
        TokenReviewStatus { authenticated: Some(true), audiences: Some(vec![audience.to_owned()]), user: Some(user), error: None }
    }

    #[test]
    fn recognizes_a_service_account_of_our_audience_only() {
        let identity = identify(status(AUDIENCE, "system:serviceaccount:ns:gw-keyward")).unwrap();
        assert_eq!((identity.namespace.as_str(), identity.service_account.as_str()), ("ns", "gw-keyward"));
        assert_eq!((identity.pod.as_str(), identity.pod_uid.as_str()), ("gw-keyward-a", "u"));
        assert!(identify(status("https://kubernetes.default.svc", "system:serviceaccount:ns:gw")).is_err());
        assert!(identify(status(AUDIENCE, "admin")).is_err());
        assert!(identify(TokenReviewStatus::default()).is_err());
    }

    #[test]
    fn refuses_a_token_that_is_bound_to_no_pod() {
        for missing in [POD_NAME, POD_UID] {
            let mut unbound = status(AUDIENCE, "system:serviceaccount:ns:gw-keyward");
            unbound.user.as_mut().unwrap().extra.as_mut().unwrap().remove(missing);
            assert!(matches!(identify(unbound), Err(AuthError::Rejected(why)) if why.contains("no pod")), "{missing}");
        }
    }

    #[test]
    fn reads_when_a_token_ends() {
        // {"exp":1800000000}
        let token = "e30.eyJleHAiOjE4MDAwMDAwMDB9.x";
        assert_eq!(expiry(token), SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(1_800_000_000)));
        assert_eq!(expiry("not a token"), None);
    }
}
