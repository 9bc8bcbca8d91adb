//! What gateways said of the identity, until the task looks at it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::tunnel::control::Down;

/// What was said and not looked at yet, in its order.
///
/// SECURITY: each gateway may say what it likes, as often as it likes. A request is answered by the
/// tunnel that was asked and by no other, and what is kept is little: one answer, and the last list
/// of authorities, which is never lost to other messages.
#[derive(Debug, Default)]
pub(super) struct Heard {
    said: Mutex<Said>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Said {
    /// The tunnel whose answer is awaited.
    asked: Option<u64>,
    messages: VecDeque<Down>,
}

impl Heard {
    /// A gateway said this over the tunnel of this number.
    pub(super) fn hear(&self, tunnel: u64, message: Down) {
        let mut said = self.said();
        if is_authorities(&message) {
            said.messages.retain(|earlier| !is_authorities(earlier));
        } else if said.asked != Some(tunnel) || !said.messages.iter().all(is_authorities) {
            return;
        }
        said.messages.push_back(message);
        drop(said);
        self.news.notify_one();
    }

    /// From now on this tunnel's answer is awaited, or nobody's; what was answered before is no
    /// answer to what is asked now.
    pub(super) fn ask(&self, tunnel: Option<u64>) {
        let mut said = self.said();
        said.asked = tunnel;
        said.messages.retain(is_authorities);
    }

    /// The next message; there is one task that waits for it.
    pub(super) async fn next(&self) -> Down {
        loop {
            if let Some(message) = self.said().messages.pop_front() {
                return message;
            }
            self.news.notified().await;
        }
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_authorities(message: &Down) -> bool {
    matches!(message, Down::Authorities { .. })
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn refused(reason: &str) -> Down {
        Down::RenewalRefused {
            reason: reason.to_owned(),
        }
    }

    fn authorities(list: &str) -> Down {
        Down::Authorities {
            authorities: vec![list.to_owned()],
        }
    }

    #[test]
    fn only_the_tunnel_that_was_asked_answers() {
        let heard = Heard::default();
        heard.hear(1, refused("nobody asked"));
        heard.ask(Some(1));
        heard.hear(1, refused("asked before"));
        heard.ask(Some(2));
        for _ in 0..100 {
            heard.hear(1, refused("another one's"));
        }
        heard.hear(2, refused("the answer"));
        heard.hear(2, refused("a second one"));
        assert_eq!(heard.next().now_or_never(), Some(refused("the answer")));
        assert_eq!(heard.next().now_or_never(), None);
        heard.ask(None);
        heard.hear(2, refused("too late"));
        assert_eq!(heard.next().now_or_never(), None);
    }

    #[test]
    fn the_last_authorities_are_never_lost_and_stand_in_their_order() {
        let heard = Heard::default();
        heard.ask(Some(1));
        for n in 0..100 {
            heard.hear(1, authorities(&n.to_string()));
        }
        heard.hear(1, refused("the answer"));
        assert_eq!(heard.next().now_or_never(), Some(authorities("99")));
        heard.hear(2, authorities("old"));
        heard.hear(3, authorities("new"));
        heard.ask(Some(2));
        assert_eq!(heard.next().now_or_never(), Some(authorities("new")));
        assert_eq!(heard.next().now_or_never(), None);
    }

    #[tokio::test]
    async fn whoever_waits_is_told() {
        let heard = std::sync::Arc::new(Heard::default());
        let waiting = tokio::spawn({
            let heard = std::sync::Arc::clone(&heard);
            async move { heard.next().await }
        });
        tokio::task::yield_now().await;
        heard.hear(1, authorities("news"));
        assert_eq!(waiting.await.unwrap(), authorities("news"));
    }
}
