//! A store that fails when it is told to, for the tests of whoever uses one.

use std::path::Path;
use std::sync::Arc;

use sqlx::ConnectOptions as _;
use zeroize::Zeroizing;

use super::{SqliteStore, open};
use crate::store::Store;
use crate::store::seal::StoreKeys;

/// A store on a file.
pub(crate) struct Fragile(Arc<SqliteStore>);

impl Fragile {
    /// Opens it, for whoever opens the same file too.
    pub(crate) async fn open(path: &Path) -> Self {
        Self::with(path, None).await
    }

    /// One that can be read and not written.
    pub(crate) async fn read_only(path: &Path) -> Self {
        Self::with(path, Some(("query_only", "1"))).await
    }

    /// One whose file cannot grow.
    pub(crate) async fn full(path: &Path) -> Self {
        Self::with(path, Some(("max_page_count", "1"))).await
    }

    async fn with(path: &Path, pragma: Option<(&'static str, &'static str)>) -> Self {
        let keys = StoreKeys::new(Zeroizing::new([1; 32]), Vec::new());
        let store = SqliteStore::open(path, keys, |writer| match pragma {
            Some((name, value)) => writer.pragma(name, value),
            None => writer,
        });
        Self(Arc::new(store.await.unwrap()))
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.0) as Arc<dyn Store>
    }

    /// From now on it gives no answer.
    pub(crate) async fn close(&self) {
        self.0.readers.close().await;
        self.0.writer.close().await;
    }

    /// Changes the file behind everybody's back.
    pub(crate) async fn execute(&self, sql: &'static str) {
        let mut connection = open::options(&self.0.path).connect().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    }
}
