//! What the authority's Secret holds, and what is to be done about it at a time. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use k8s_openapi::ByteString;
use k8s_openapi::jiff::Timestamp;

use super::elapsed;
use super::issue::Signer;

/// The authorities of the Secret.
#[derive(Default)]
pub(super) struct Stored {
    /// Signs.
    pub(super) current: Option<Signer>,
    /// Is trusted, and signs later.
    next: Option<Signer>,
    /// Are trusted still: certificates only.
    previous: Vec<Certificate>,
}

/// A trusted certificate and when it ends.
pub(super) struct Certificate {
    pem: String,
    ends: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    /// Make the next authority, to be trusted.
    Stage,
    /// Let the next one sign.
    Promote,
    /// Drop what has ended.
    Retire,
}

impl Stored {
    pub(super) fn of(signer: Signer) -> Self {
        Self { current: Some(signer), ..Self::default() }
    }

    pub(super) fn read(mut data: BTreeMap<String, ByteString>) -> anyhow::Result<Self> {
        let mut text = |key: &str| data.remove(key).and_then(|bytes| String::from_utf8(bytes.0).ok());
        let current = Signer::read(text("tls.crt").context("no tls.crt")?, text("tls.key").context("no tls.key")?, text("tls.json"))?;
        let next = match (text("next.crt"), text("next.key")) {
            (Some(certificate), Some(key)) => Some(Signer::read(certificate, key, text("next.json"))?),
            _ => None,
        };
        let previous = text("previous.json").map(|json| serde_json::from_str::<Vec<(String, i64)>>(&json)).transpose();
        let previous = previous.context("previous.json")?.unwrap_or_default();
        let previous = previous.into_iter().filter_map(|(pem, ends)| Some(Certificate { pem, ends: Timestamp::from_second(ends).ok()? }));
        Ok(Self { current: Some(current), next, previous: previous.collect() })
    }

    pub(super) fn write(&self) -> BTreeMap<String, ByteString> {
        let mut data = BTreeMap::new();
        let mut put = |key: &str, text: String| data.insert(key.to_owned(), ByteString(text.into_bytes()));
        put("ca.crt", self.bundle());
        for (name, signer) in [("tls", &self.current), ("next", &self.next)] {
            if let Some(signer) = signer {
                put(&format!("{name}.crt"), signer.certificate.clone());
                put(&format!("{name}.key"), signer.key_pem());
                put(&format!("{name}.json"), signer.times());
            }
        }
        if !self.previous.is_empty() {
            let previous: Vec<(&str, i64)> = self.previous.iter().map(|one| (one.pem.as_str(), one.ends.as_second())).collect();
            put("previous.json", serde_json::to_string(&previous).unwrap_or_default());
        }
        data
    }

    /// Everything that is trusted.
    pub(super) fn bundle(&self) -> String {
        let signers = [&self.current, &self.next].into_iter().flatten().map(|signer| signer.certificate.as_str());
        signers.chain(self.previous.iter().map(|one| one.pem.as_str())).collect()
    }

    pub(super) fn plan(&self, now: Timestamp, overlap: Duration) -> Action {
        let Some(current) = &self.current else { return Action::Nothing };
        match &self.next {
            // Nobody trusts one that has ended, while no replica ran: there is nothing to wait for.
            Some(next) if elapsed(next.made, now) >= overlap || current.ends <= now => Action::Promote,
            Some(_) => Action::Nothing,
            None if elapsed(current.made, now) >= elapsed(current.made, current.ends) * 2 / 3 => Action::Stage,
            None if self.previous.iter().any(|one| one.ends <= now) => Action::Retire,
            None => Action::Nothing,
        }
    }

    pub(super) fn staged(self, next: Signer) -> Self {
        Self { next: Some(next), ..self }
    }

    pub(super) fn promoted(mut self) -> Self {
        self.previous.extend(self.current.take().map(|old| Certificate { pem: old.certificate.clone(), ends: old.ends }));
        Self { current: self.next.take(), next: None, previous: self.previous }
    }

    pub(super) fn retired(mut self, now: Timestamp) -> Self {
        self.previous.retain(|one| one.ends > now);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(300);
    const OVERLAP: Duration = Duration::from_secs(10);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn fresh() -> Stored {
        Stored::of(Signer::new("test", LIFE, at(0)).unwrap())
    }

    #[test]
    fn a_new_authority_is_trusted_before_it_signs_and_the_old_one_afterwards() {
        let stored = fresh();
        let old = stored.current.as_ref().unwrap().certificate.clone();
        assert_eq!(stored.plan(at(199), OVERLAP), Action::Nothing);
        assert_eq!(stored.plan(at(200), OVERLAP), Action::Stage);
        let staged = stored.staged(Signer::new("test", LIFE, at(200)).unwrap());
        let new = staged.next.as_ref().unwrap().certificate.clone();
        assert!(staged.bundle().contains(&old) && staged.bundle().contains(&new));
        assert_eq!(staged.plan(at(209), OVERLAP), Action::Nothing);
        assert_eq!(staged.plan(at(210), OVERLAP), Action::Promote);
        let promoted = staged.promoted();
        assert_eq!(promoted.current.as_ref().unwrap().certificate, new);
        assert!(promoted.bundle().contains(&old));
        assert_eq!(promoted.plan(at(300), OVERLAP), Action::Retire);
        assert!(!promoted.retired(at(300)).bundle().contains(&old));
    }

    #[test]
    fn a_new_authority_signs_at_once_when_the_old_one_has_ended() {
        let stored = fresh();
        assert_eq!(stored.plan(at(301), OVERLAP), Action::Stage);
        let staged = stored.staged(Signer::new("test", LIFE, at(301)).unwrap());
        assert_eq!(staged.plan(at(301), OVERLAP), Action::Promote);
        let promoted = staged.promoted();
        assert_eq!(promoted.plan(at(302), OVERLAP), Action::Retire);
        assert_eq!(promoted.retired(at(302)).bundle().matches("BEGIN").count(), 1);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let stored = fresh().staged(Signer::new("test", LIFE, at(200)).unwrap());
        let read = Stored::read(stored.write()).unwrap();
        assert_eq!(read.bundle(), stored.bundle());
        assert_eq!(read.plan(at(210), OVERLAP), Action::Promote);
        let promoted = Stored::read(read.promoted().write()).unwrap();
        assert_eq!(promoted.previous.len(), 1);
    }

    #[test]
    fn something_else_is_refused_without_quoting_it() {
        let data = BTreeMap::from([("tls.crt", "canary"), ("tls.key", "canary")]);
        let data = data.into_iter().map(|(key, text)| (key.to_owned(), ByteString(text.into()))).collect();
        let error = Stored::read(data).err().unwrap();
        assert!(!format!("{error:#} {error:?}").contains("canary"));
    }
}
