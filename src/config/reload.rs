//! How a configuration comes to be read again: from which files, when, and where that is ordered.

use std::path::PathBuf;

use super::{GatewayConfig, applications};

/// The files that make a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources {
    /// The main file, and the ones it includes.
    pub files: Vec<PathBuf>,
    /// The pattern of included files, of which new ones may come.
    pub pattern: Option<PathBuf>,
}

impl Sources {
    /// The files as they are at the moment; where a folder cannot be read, those that were read.
    #[must_use]
    pub fn now(&self) -> Vec<PathBuf> {
        let mut files = self.files.clone();
        if let Some(pattern) = &self.pattern {
            files.extend(applications::matching(pattern).unwrap_or_default());
            files.sort();
            files.dedup();
        }
        files
    }
}

/// When a configuration is read again; certificates are whenever they change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reload {
    /// When somebody says so.
    #[default]
    Manual,
    /// By itself, when its files have changed.
    Watch,
}

impl Reload {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Watch => "watch",
        }
    }
}

impl GatewayConfig {
    /// The socket file at which the gateway takes orders. Without `listen.admin` it lies beside the
    /// store and is called like the configuration.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.listen.admin.clone().unwrap_or_else(|| {
            let name = self.file.file_stem().unwrap_or_default();
            self.store.with_file_name(name).with_extension("sock")
        })
    }
}
