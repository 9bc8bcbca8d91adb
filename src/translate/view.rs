//! The links of one application's pages, as one person sees them.

use std::sync::Arc;

use super::body::{TagSuffix, Text};
use super::markup::Links;
use super::replace::Words;
use super::urls::{KnownOrigins, Table, UrlMap};
use crate::model::{Application, ApplicationName, BodyKind, Captured, Host, LinkTranslation};
use aws_lc_rs::digest::{Context, SHA256};

/// What pages of an application are looked through with.
#[derive(Debug, Clone)]
pub struct View {
    table: Arc<Table>,
    application: Arc<Application>,
    captured: Option<Captured>,
    host: Host,
    /// Which of its internal URLs answers.
    chosen: usize,
    /// Internal and external path differ.
    changes_root: bool,
}

impl View {
    /// Of an application that was asked for at `host`.
    #[must_use]
    pub fn new(
        table: &Arc<Table>,
        application: &Arc<Application>,
        captured: Option<&Captured>,
        host: &Host,
    ) -> Self {
        Self {
            table: Arc::clone(table),
            application: Arc::clone(application),
            captured: captured.cloned(),
            host: host.clone(),
            chosen: 0,
            changes_root: *application.internal.path() != application.external.path,
        }
    }

    /// This internal URL answers.
    pub const fn choose(&mut self, url: usize) {
        self.chosen = url;
    }

    /// Whose links they are.
    #[must_use]
    pub fn name(&self) -> &ApplicationName {
        &self.application.name
    }

    /// What is translated for it, and how.
    #[must_use]
    pub fn settings(&self) -> &LinkTranslation {
        &self.application.link_translation
    }

    /// Words that are replaced in a body.
    pub(super) fn words(&self, kind: BodyKind, text: &Text) -> Option<Arc<Words>> {
        self.table.words().of(&self.application, kind, text)
    }

    /// Every published URL.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// What is added to entity tags: a body is another one where any URL is, and where something stays as it
    /// is: data, pages, data inside of pages.
    #[must_use]
    pub fn tag_suffix(&self, stays: [bool; 3]) -> TagSuffix {
        let mut hash = Context::new(&SHA256);
        hash.update(env!("CARGO_PKG_VERSION").as_bytes());
        hash.update(&self.table.fingerprint());
        for part in [self.application.name.as_str(), &self.host.to_string()] {
            hash.update(part.as_bytes());
            hash.update(b"\n");
        }
        hash.update(&stays.map(u8::from));
        let mut first = [0; 8];
        first.copy_from_slice(&hash.finish().as_ref()[..8]);
        TagSuffix::new(u64::from_be_bytes(first))
    }

    /// The application's own URLs; `None` where its wildcard has no label to take.
    pub(super) fn map(&self) -> Option<UrlMap<'_>> {
        let mut map = UrlMap::new(&self.application, self.captured.as_ref(), &self.host)?;
        map.choose(self.chosen);
        Some(map)
    }

    /// Of whom they are.
    pub(super) fn application(&self) -> &Application {
        &self.application
    }

    /// The links of one body.
    pub(super) fn links(self) -> Arc<dyn Links> {
        let origins = KnownOrigins::new(
            Arc::clone(&self.table),
            Arc::clone(&self.application),
            self.captured.clone(),
            self.host.clone(),
            self.chosen,
        );
        Arc::new(Published {
            origins,
            view: self,
        })
    }
}

/// What one body is rewritten with.
struct Published {
    view: View,
    origins: KnownOrigins,
}

impl Links for Published {
    fn translate(&self, url: &str) -> Option<String> {
        self.origins.to_external(url)
    }

    fn changes_root(&self) -> bool {
        self.view.changes_root
    }

    fn translate_policy(&self, policy: &str) -> Option<String> {
        let own = self.view.map()?;
        String::from_utf8(super::headers::policies(policy.as_bytes(), &own)?).ok()
    }
}
