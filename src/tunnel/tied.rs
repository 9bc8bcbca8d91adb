//! Everything that runs for one tunnel, to end it with the tunnel.
//!
//! hyper's HTTP/2 client hands the connection itself, and each upload and upgrade, to an executor;
//! what the caller holds is a dispatcher. Dropping that ends nothing while a stream is open: a
//! connector that was removed would carry what it has for as long as it likes.

use hyper::rt::Executor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Runs the tasks of one tunnel, and ends them with it.
#[derive(Debug, Clone)]
pub struct Tied {
    cut: CancellationToken,
    tasks: TaskTracker,
}

impl Tied {
    /// Tasks that end at the latest when `cut` is cancelled.
    #[must_use]
    pub fn to(cut: CancellationToken) -> Self {
        let tasks = TaskTracker::new();
        // Closed it can be waited for; it takes more all the same.
        tasks.close();
        Self { cut, tasks }
    }

    /// Waits until all of them have ended.
    pub async fn ended(&self) {
        self.tasks.wait().await;
    }
}

impl<F> Executor<F> for Tied
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        let cut = self.cut.clone();
        // In a box: hyper's futures have room for a whole connection in each request's, and what
        // stands here is moved nine times before it first runs.
        let future = Box::pin(future);
        self.tasks.spawn(cut.run_until_cancelled_owned(future));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_end_with_the_cut_and_are_waited_for() {
        let cut = CancellationToken::new();
        let tied = Tied::to(cut.clone());
        tied.execute(async {});
        tied.ended().await;
        tied.execute(std::future::pending::<()>());
        assert!(!tied.tasks.is_empty());
        cut.cancel();
        tied.ended().await;
        // Nothing begins afterwards.
        tied.execute(async { unreachable!("it was cut") });
        tied.ended().await;
    }
}
