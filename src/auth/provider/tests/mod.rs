//! A provider that misbehaves, and one that is merely odd.

mod access;
mod faults;
mod keys;
mod liar;
mod life;
mod oddities;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Begin, Callback, Provider, ProviderError, SignInSecrets, SignedIn};
use crate::clock::{Clock, Timestamp};
use crate::config::{GatewayConfig, IdentityProvider};
use crate::net::{Dialler, Resolver};
use liar::{CODE, Liar, NONCE, NOW};

const BACK: &str = "https://login.example.com/.appproxy/callback";

/// A provider's configuration; `more` is YAML of further keys, in the place of defaults.
fn config(issuer: &str, more: &str) -> Arc<IdentityProvider> {
    let text = format!(
        "version: 1\nkind: gateway\nlisten: {{ https: ['[::]:443'] }}\nstore: sqlite:x\n\
         certificates: [{{ chain: a, key: b }}]\n\
         identity_providers: [{{ name: test, issuer: '{issuer}', client_id: client-1, proxy: none, {more} }}]\n"
    );
    let config = GatewayConfig::from_text(Path::new("/gateway.yaml"), &text);
    let config = config.unwrap_or_else(|found| panic!("{more}: {found:?}"));
    Arc::clone(&config.identity_providers[0])
}

fn provider_at(issuer: &str, more: &str) -> Provider {
    let dialler = Dialler::new(Resolver::new(&[], BTreeMap::new()));
    let clock = Clock::manual(Timestamp(NOW));
    Provider::new(config(issuer, more), dialler, clock).unwrap()
}

fn provider(liar: &Liar, more: &str) -> Provider {
    let base = liar.with(|state| state.base.clone());
    provider_at(&base, more)
}

fn secrets() -> SignInSecrets {
    SignInSecrets {
        nonce: NONCE.to_owned(),
        verifier: "verifier-hunter2".into(),
    }
}

fn begin(secrets: &SignInSecrets) -> Begin<'_> {
    Begin {
        redirect_uri: BACK,
        state: "state-1",
        secrets,
        prompt: None,
        max_age: None,
        acr_values: &[],
        login_hint: None,
    }
}

/// Goes the whole way, as a browser does that brings this `iss` back.
async fn sign_in_with(
    provider: &Provider,
    issuer: Option<&str>,
) -> Result<SignedIn, ProviderError> {
    let secrets = secrets();
    provider.begin(&begin(&secrets)).await?;
    let callback = Callback {
        code: CODE,
        issuer,
        secrets: &secrets,
        redirect_uri: BACK,
        max_age: None,
    };
    // Far beyond every limit of ours, by whichever clock.
    let finished = tokio::time::timeout(Duration::from_secs(600), provider.finish(&callback));
    finished.await.expect("hangs past its limits")
}

async fn sign_in(provider: &Provider) -> Result<SignedIn, ProviderError> {
    sign_in_with(provider, None).await
}
