//! What pages load: a stylesheet and scripts of ours, each under a name with its hash, so that a
//! browser may keep it for good.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;

/// Where they are served, on every host.
const FOLDER: &str = "/.appproxy/assets/";

/// Octets of the hash in a name: 64 bits tell two versions of a file apart.
const NAME_OCTETS: usize = 8;

const BASE: &str = include_str!("assets/base.css");

/// A file as it is sent. It never changes: another one has another name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asset {
    /// The media type.
    pub(crate) content_type: &'static str,
    /// The file.
    pub(crate) octets: Bytes,
}

/// A file and where it is.
#[derive(Debug, Clone)]
pub(super) struct Served {
    pub(super) path: String,
    pub(super) asset: Asset,
}

impl Served {
    /// `name` is given its hash before `extension`.
    pub(super) fn new(
        name: &str,
        extension: &str,
        content_type: &'static str,
        octets: impl Into<Bytes>,
    ) -> Self {
        let octets = octets.into();
        let hash: String = digest(&SHA256, &octets)
            .as_ref()
            .iter()
            .take(NAME_OCTETS)
            .map(|octet| format!("{octet:02x}"))
            .collect();
        Self {
            path: format!("{FOLDER}{name}-{hash}.{extension}"),
            asset: Asset {
                content_type,
                octets,
            },
        }
    }

    pub(super) fn style(name: &str, text: impl Into<Bytes>) -> Self {
        Self::new(name, "css", "text/css; charset=utf-8", text)
    }

    fn script(name: &str, text: &'static str) -> Self {
        Self::new(name, "js", "text/javascript; charset=utf-8", text)
    }
}

/// The files that are the same whatever the configuration.
pub(super) struct Fixed {
    pub(super) style: Served,
    pub(super) keep: Served,
    pub(super) back: Served,
    pub(super) launcher: Served,
}

impl Fixed {
    pub(super) fn all(&self) -> [&Served; 4] {
        [&self.style, &self.keep, &self.back, &self.launcher]
    }
}

pub(super) static FIXED: LazyLock<Fixed> = LazyLock::new(|| Fixed {
    style: Served::style("style", [BASE, include_str!("assets/more.css")].concat()),
    keep: Served::script("keep", include_str!("assets/keep.js")),
    back: Served::script("return", include_str!("assets/return.js")),
    launcher: Served::script("launcher", include_str!("assets/launcher.js")),
});

/// The part of the stylesheet that error pages carry in themselves.
pub(super) const fn base() -> &'static str {
    BASE
}
