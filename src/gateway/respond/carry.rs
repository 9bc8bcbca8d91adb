//! Ties the access line to the body of the answer, so that it is written when that ends.
//!
//! Here and not beside the line itself: telemetry knows nothing of bodies.

use http::Response;
use http_body::Body as _;

use crate::http::{Body, Guard};
use crate::telemetry::{AccessLine, Ended, OctetsIn};

/// The line is written when the body of `response` ends, breaks or is given up. A guard that the
/// body has already stays.
pub(crate) fn carry(mut line: AccessLine, response: Response<Body>) -> Response<Body> {
    line.answered(response.status(), response.body().size_hint().exact());
    response.map(|body| body.with_guard(Carried(line)))
}

/// Counts into `line` what the client sends in `body`.
pub(crate) fn count(line: &mut AccessLine, body: Body) -> Body {
    if body.is_end_stream() {
        return body;
    }
    body.with_guard(Counted(line.octets_in()))
}

struct Carried(AccessLine);

impl Guard for Carried {
    fn complete(&mut self) {
        self.0.ended(Ended::Complete);
    }

    fn broken(&mut self) {
        self.0.ended(Ended::Cut);
    }

    fn progress(&mut self, octets: usize) {
        self.0.sent(octets);
    }
}

struct Counted(OctetsIn);

impl Guard for Counted {
    fn progress(&mut self, octets: usize) {
        self.0.add(octets as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;
    use http::{Method, Request, StatusCode};
    use http_body_util::{BodyExt as _, StreamBody};
    use hyper::body::Frame;

    use super::*;
    use crate::http::BodyError;
    use crate::model::RequestId;

    /// Runs `act` with a line for `method` and gives the text of the one line it must have written.
    fn written(method: Method, act: impl AsyncFnOnce(AccessLine)) -> String {
        let log = Arc::new(Mutex::new(Vec::new()));
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(Log::maker(&log))
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let mut request = Request::new(());
            *request.method_mut() = method;
            let id = RequestId::from_random([1; 8]);
            let line = AccessLine::begin(id, Ipv4Addr::LOCALHOST.into(), &request);
            tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap()
                .block_on(act(line));
        });
        let text = String::from_utf8(log.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        text
    }

    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        fn maker(log: &Arc<Mutex<Vec<u8>>>) -> impl Fn() -> Self + use<> {
            let log = Arc::clone(log);
            move || Self(Arc::clone(&log))
        }
    }

    impl std::io::Write for Log {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn stream(frames: Vec<Result<&'static str, &'static str>>) -> Body {
        let frames = frames.into_iter().map(|frame| match frame {
            Ok(text) => Ok(Frame::data(Bytes::from_static(text.as_bytes()))),
            Err(why) => Err(BodyError::from(why)),
        });
        Body::boxed(StreamBody::new(futures_util::stream::iter(
            frames.collect::<Vec<_>>(),
        )))
    }

    #[test]
    fn a_whole_exchange_counts_both_ways_and_is_complete() {
        let text = written(Method::POST, async |mut line| {
            let upload = count(&mut line, stream(vec![Ok("abc"), Ok("d")]));
            upload.collect().await.unwrap();
            let answer = carry(line, Response::new(Body::full("hello")));
            answer.into_body().collect().await.unwrap();
        });
        assert!(
            text.contains("octets_in=4 octets_out=5 ended=\"complete\""),
            "{text}"
        );
        assert!(text.contains("status=200"), "{text}");
    }

    #[test]
    fn a_body_that_breaks_was_cut_and_one_that_is_dropped_lost_its_client() {
        for (read, ended) in [(1, "client_gone"), (2, "cut")] {
            let text = written(Method::GET, async |line| {
                let source = stream(vec![Ok("half"), Err("tunnel lost")]);
                let mut body = carry(line, Response::new(source)).into_body();
                for _ in 0..read {
                    drop(body.frame().await);
                }
            });
            let expected = format!("octets_out=4 ended=\"{ended}\"");
            assert!(text.contains(&expected), "{text}");
        }
    }

    /// hyper drops such a body unread.
    #[test]
    fn an_answer_that_need_not_be_read_is_complete_and_any_other_is_not() {
        for (method, status, body, ended) in [
            (Method::GET, StatusCode::OK, Body::empty(), "complete"),
            (
                Method::HEAD,
                StatusCode::OK,
                stream(vec![Ok("x")]),
                "complete",
            ),
            (
                Method::GET,
                StatusCode::NOT_MODIFIED,
                stream(vec![]),
                "complete",
            ),
            (Method::GET, StatusCode::OK, Body::full("x"), "client_gone"),
            (
                Method::GET,
                StatusCode::OK,
                stream(vec![Ok("x")]),
                "client_gone",
            ),
        ] {
            let text = written(method, async |line| {
                let mut response = Response::new(body);
                *response.status_mut() = status;
                drop(carry(line, response));
            });
            assert!(text.contains(&format!("ended=\"{ended}\"")), "{text}");
        }
    }

    struct Slot(#[expect(dead_code, reason = "only its life counts")] Arc<()>);

    impl Guard for Slot {}

    #[test]
    fn a_guard_that_stands_already_stays() {
        let held = Arc::new(());
        let slot = Slot(Arc::clone(&held));
        written(Method::GET, async |line| {
            let body = Body::full("x").with_guard(slot);
            let answer = carry(line, Response::new(body));
            assert_eq!(Arc::strong_count(&held), 2);
            answer.into_body().collect().await.unwrap();
            assert_eq!(Arc::strong_count(&held), 1);
        });
    }
}
