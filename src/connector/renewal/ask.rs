//! One attempt at a renewal: over a tunnel, or late at every gateway, and what is made of the answer.

use super::*;

impl Task {
    pub(super) fn csr(&self) -> Result<String, Failure> {
        let key = &self.renewal.identity.identity().credentials.key;
        KeyPair::from_der_and_sign_algo(key, &PKCS_ECDSA_P256_SHA256)
            .and_then(|key| channel::request(&key))
            .map_err(|e| Failure::Again(format!("a request cannot be made: {e}")))
    }

    pub(super) async fn over_tunnel(&mut self) -> Result<(), Failure> {
        let csr = self.csr()?;
        let mut failure = Failure::NoTunnel;
        for tunnel in self.renewal.live().into_iter().rev().take(TUNNELS) {
            // What was said before is no answer to this.
            while let Ok(stale) = self.messages.try_recv() {
                if let Down::Authorities { authorities } = stale {
                    self.trust(&authorities);
                }
            }
            if !tunnel.say(&Up::Renew { csr: csr.clone() }) {
                continue;
            }
            match timeout(ANSWER, self.answer()).await {
                Ok(Some(Down::Renewed { chain, authorities })) => {
                    return self.take(&chain, &authorities);
                }
                Ok(Some(Down::RenewalRefused { reason })) => {
                    let reason = printable(&reason, REASON);
                    failure = Failure::Again(format!("the gateway refused: {reason}"));
                }
                Ok(_) | Err(_) => {
                    let text = format!("no answer over the tunnel within {ANSWER:?}");
                    failure = Failure::Again(text);
                }
            }
        }
        Err(failure)
    }

    /// The next message that is about a renewal.
    pub(super) async fn answer(&mut self) -> Option<Down> {
        loop {
            match self.messages.recv().await? {
                Down::Authorities { authorities } => self.trust(&authorities),
                other => return Some(other),
            }
        }
    }

    /// By proof of the key at every gateway that is known, until one renews.
    pub(super) async fn late(&mut self) -> Result<(), Failure> {
        let mut gateways = self.gateways.clone();
        // What the gateways handed down since the start is in the state.
        let kept = self.state.gateways().unwrap_or_default();
        gateways.extend(kept.into_iter().filter(|g| !self.gateways.contains(g)));
        let csr = self.csr()?;
        let (mut failed, mut refusals) = (Vec::new(), Vec::new());
        for gateway in &gateways {
            let dialling = async {
                let deadline = Instant::now() + crate::connector::supervisor::DIAL;
                let dialled = self.dialler.connect_tunnel(gateway, deadline).await;
                dialled.map_err(io::Error::other)
            };
            let identity = self.renewal.identity.identity();
            let now = self.renewal.clock.now();
            match crate::connector::late::renew(gateway, &identity, &csr, now, dialling).await {
                Ok(renewed) => {
                    self.renewal.skew.measure(now.0, renewed.time);
                    return self.take(&renewed.chain, &renewed.authorities);
                }
                Err(crate::connector::late::Refused::Final(refused)) => {
                    refusals.push((gateway, refused))
                }
                Err(crate::connector::late::Refused::Again(why)) => {
                    failed.push(format!("{gateway}: {why}"))
                }
            }
        }
        match refusals.into_iter().next() {
            Some((gateway, refused)) if failed.is_empty() => {
                Err(Failure::Final(match refused.code {
                    RefusalCode::ConnectorRemoved => Final::Removed,
                    _ => Final::Register(format!("{gateway} refused: {}", refused.message)),
                }))
            }
            Some((gateway, refused)) => Err(Failure::Again(format!(
                "{gateway} refused: {}; {}",
                refused.message,
                failed.join("; ")
            ))),
            None => Err(Failure::Again(failed.join("; "))),
        }
    }

    /// Checks what a gateway gave, keeps it, and takes it into use, in this order.
    pub(super) fn take(&mut self, chain: &str, authorities: &[String]) -> Result<(), Failure> {
        let present = self.renewal.identity.identity();
        let next = present.renewed(chain, authorities).map_err(|what| {
            Failure::Again(format!("the gateway's answer cannot be used: {what}"))
        })?;
        let until = next.not_after;
        let due = due(&next);
        self.adopt(next).map_err(Failure::Again)?;
        (self.due, self.since) = (due, Instant::now());
        self.renewal.refused.store(false, Ordering::Relaxed);
        tracing::info!(until = until.to_rfc3339(), "certificate renewed");
        Ok(())
    }

    /// A gateway, over a tunnel on which it proved itself, told which authorities count now.
    pub(super) fn trust(&mut self, authorities: &[String]) {
        let present = self.renewal.identity.identity();
        let next = match present.trusting(authorities) {
            Ok(next) if next.credentials.authorities == present.credentials.authorities => return,
            Ok(next) => next,
            Err(what) => {
                tracing::warn!(what, "the gateway's new authorities cannot be used");
                return;
            }
        };
        let (count, renew) = (next.credentials.authorities.len(), !next.is_of_issuing());
        if let Err(reason) = self.adopt(next) {
            tracing::warn!(reason, "the gateway's new authorities cannot be kept");
            return;
        }
        tracing::info!(
            authorities = count,
            "the gateways' authorities have changed"
        );
        if renew {
            let spread = Duration::from_secs((self.life() / 30).clamp(1, SPREAD_MOST));
            self.due = self
                .renewal
                .clock
                .now()
                .plus(fraction(spread))
                .min(self.due);
        }
    }

    /// On disk first: a connector that went on with what it could not keep would be lost with its
    /// next start.
    pub(super) fn adopt(&self, next: Identity) -> Result<(), String> {
        let keep = self.state.keep_renewed(&next);
        keep.map_err(|e| {
            format!(
                "what the gateway gave cannot be kept, so the old certificate stays in use: {e}"
            )
        })?;
        let replaced = self.renewal.identity.replace(next);
        replaced.map_err(|e| format!("TLS cannot be set up with it: {e}"))
    }
}
