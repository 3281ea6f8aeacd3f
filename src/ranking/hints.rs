//! Hears from other nodes who is gone, so that lists are fresh within a second.

use std::sync::Arc;

use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_util::sync::CancellationToken;

use super::Ranking;
use crate::store::Gone;

/// The loop.
pub struct Hints {
    ranking: Arc<Ranking>,
    heard: Receiver<Gone>,
}

impl Hints {
    /// Takes what is `heard` to heart.
    pub fn new(ranking: Arc<Ranking>, heard: Receiver<Gone>) -> Self {
        Self { ranking, heard }
    }

    /// Until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        while let Some(heard) = stop.run_until_cancelled(self.heard.recv()).await {
            match heard {
                Ok(gone) => self.ranking.hear_gone(&gone),
                // Freshness is lost, nothing else.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => stop.cancelled().await,
            }
        }
    }
}

impl Ranking {
    fn hear_gone(&self, Gone { swarm, peer, at }: &Gone) {
        if let Some(view) = self.views.get(swarm)
            && view.state().is_gone_since(*peer, *at)
        {
            self.exit(*peer, swarm);
            self.introductions.left(*peer);
            self.metrics.hints_heard.increment(1);
        }
    }
}
