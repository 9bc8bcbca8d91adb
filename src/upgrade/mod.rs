//! WebSockets (RFC 6455, RFC 8441): what both ends of the tunnel share.
//!
//! A WebSocket passes as octets: [`splice()`] copies them both ways and understands no more of them
//! than where one frame ends and the next begins, which it needs to say goodbye: a Close frame may
//! stand only between frames. Extensions and payloads are none of its business.
//!
//! | file | holds |
//! |---|---|
//! | `handshake` | the key, its answer, and what an application's 101 must look like |
//! | `frame` | the head of a frame over any chunking, the follower of boundaries, the Close frame |
//! | `carry` | two streams become one of which nothing is understood: TLS that passes through |
//! | `splice` | two streams become one, with back-pressure, half-close and a cut |
//! | `endpoint` | the server's end of a WebSocket, for our own demo application |

mod carry;
mod endpoint;
mod frame;
mod handshake;
mod pipe;
mod splice;

pub use carry::{Meter, carry};
pub use endpoint::{Message, WebSocket};
pub use handshake::{NotSwitched, accept_for, check_switching, new_key};
pub use splice::{Cut, End, Side, Summary, splice};

/// Octets no one can foretell.
///
/// AWS-LC ends the process rather than run without entropy, so there is no failure to handle; and
/// neither a key of a handshake nor the mask of a Close frame of ours guards a secret.
fn random<const N: usize>() -> [u8; N] {
    let mut octets = [0; N];
    let _ = aws_lc_rs::rand::fill(&mut octets);
    octets
}
