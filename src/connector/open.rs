//! How many tunnels are open, for those who wait for the first or tell of them.

use std::sync::Arc;

use tokio::sync::watch;

/// The number of open tunnels of a connector.
#[derive(Debug, Clone, Default)]
pub struct OpenTunnels(Arc<watch::Sender<usize>>);

/// One that is open, until this is dropped.
#[derive(Debug)]
pub(super) struct OpenTunnel(OpenTunnels);

impl OpenTunnels {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// Waits until there is one.
    pub async fn any(&self) {
        // The sender is held here.
        let _ = self.0.subscribe().wait_for(|count| *count > 0).await;
    }

    /// Another one has opened.
    pub(super) fn one_more(&self) -> OpenTunnel {
        self.0.send_modify(|count| *count += 1);
        OpenTunnel(self.clone())
    }
}

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_is_waited_for_and_each_counts_until_its_end() {
        let open = OpenTunnels::default();
        let waiting = tokio::spawn({
            let open = open.clone();
            async move { open.any().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        let (one, two) = (open.one_more(), open.one_more());
        waiting.await.unwrap();
        assert_eq!(open.count(), 2);
        drop(one);
        assert_eq!(open.count(), 1);
        drop(two);
        assert_eq!(open.count(), 0);
    }
}
