//! Tokens of ServiceAccounts, for the config channel and for what should not be.

use anyhow::{Context, Result};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::part::root;
use crate::{Cluster, Namespace};

/// The audience of tokens for the config channel.
pub const AUDIENCE: &str = "keyward.dev/xds";
/// Where the cluster's own start left the key with which the API server signs tokens.
const SIGNING_KEY: &str = "target/cluster/run/cluster/service-account.key";

impl Cluster {
    /// A fresh token of a ServiceAccount, bound to a pod if one is named.
    ///
    /// # Errors
    /// When the API server gives none.
    pub fn token(&self, namespace: &Namespace<'_>, account: &str, audience: &str, pod: Option<&str>) -> Result<String> {
        let (audience, bound) = (format!("--audience={audience}"), pod.map(|pod| format!("--bound-object-name={pod}")));
        let mut arguments = vec!["create", "token", account, "-n", namespace.name(), "--duration=10m", &audience];
        if let Some(bound) = &bound {
            arguments.extend(["--bound-object-kind=Pod", bound.as_str()]);
        }
        Ok(self.kubectl(&arguments, None)?.trim().to_owned())
    }
}

/// The same token as the API server would have made it two hours ago, for one hour. An API server gives none for less than ten
/// minutes, so this one is signed here, with the key of the cluster that the tests started.
///
/// # Errors
/// When the key is not there: the cluster is another one.
pub fn expired(token: &str) -> Result<String> {
    let mut parts = token.split('.');
    let (header, payload) = (parts.next().context("no header")?, parts.next().context("no payload")?);
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?;
    let made = claims["iat"].as_i64().context("a token without a time")? - 7200;
    claims["iat"] = json!(made);
    claims["nbf"] = json!(made);
    claims["exp"] = json!(made + 3600);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims)?));
    let signature = signing_key()?.sign(&SystemRandom::new(), signed.as_bytes()).ok().context("cannot sign")?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
}

fn signing_key() -> Result<EcdsaKeyPair> {
    let key = PrivatePkcs8KeyDer::from_pem_file(root().join(SIGNING_KEY)).ok().context("the cluster's signing key is not there")?;
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_pkcs8_der());
    key.ok().context("not a key for ES256")
}
