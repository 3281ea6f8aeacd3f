//! Tasks, and how they end: listeners first, then what they feed.

use std::{io, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

/// Resolves when somebody asks the process to end: SIGTERM, Ctrl-C, or a terminal that closes. Listens from now on.
pub fn asked_to_stop() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// A group of tasks that stop together.
#[derive(Debug, Default)]
pub struct Lifecycle {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Lifecycle {
    /// Starts a task; it gets the token that tells it to stop. A task that ends before it is told to, or panics, stops
    /// the whole group: half a backend is worse than none.
    pub fn start<F: Future<Output = ()> + Send + 'static>(&self, task: impl FnOnce(CancellationToken) -> F) {
        let guard = self.stop.clone().drop_guard();
        let task = task(self.stop.clone());
        self.tasks.spawn(async move {
            let _guard = guard;
            task.await;
        });
    }

    /// Resolves when the group is told to stop, or one of its tasks has died.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Tells every task to stop and waits for them, no longer than `patience`. Says whether all of them ended.
    pub async fn stop(&self, what: &str, patience: Duration) -> bool {
        self.stop.cancel();
        self.tasks.close();
        let ended = tokio::time::timeout(patience, self.tasks.wait()).await.is_ok();
        if !ended {
            warn!("{what} did not stop within {patience:?}");
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_dies_stops_the_others() {
        let tasks = Lifecycle::default();
        tasks.start(|stop| async move { stop.cancelled().await });
        tasks.start(|_| async { panic!("a bug") });
        tasks.stopped().await;
        assert!(tasks.stop("test", Duration::from_secs(1)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let tasks = Lifecycle::default();
        tasks.start(|_| std::future::pending());
        assert!(!tasks.stop("test", Duration::from_secs(1)).await);
    }
}
