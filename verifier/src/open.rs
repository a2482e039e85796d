//! Connect, verify, open: the three steps to a session, in one call.

use std::sync::Arc;

use attestation::{Clock, Transcript};

use crate::connect::Channel;
use crate::error::Error;
use crate::session::Session;
use crate::target::NodeUrl;
use crate::verify::{Trust, VerifiedChannel};

/// Connects to a node and verifies it on that connection.
///
/// # Errors
/// When there is no connection or the node is not accepted; `transcript` says how far it got.
pub async fn verify_node(
    target: &NodeUrl,
    trust: &Trust,
    clock: &dyn Clock,
    transcript: &mut Transcript,
) -> Result<VerifiedChannel, Error> {
    let channel = Channel::open(target).await?;
    transcript
        .pass("tls.handshake", format!("TLS 1.3, {}, handshake signature verified", channel.secrets().key_exchange));
    Ok(channel.verify(trust, clock, transcript).await?)
}

/// [`verify_node`], then [`Session::open`].
///
/// # Errors
/// When the node is not accepted or makes no signed offer.
pub async fn open_session(
    target: &NodeUrl,
    trust: &Trust,
    clock: &Arc<dyn Clock>,
    transcript: &mut Transcript,
) -> Result<Session, Error> {
    let channel = verify_node(target, trust, clock.as_ref(), transcript).await?;
    let session = Session::open(channel, Arc::clone(clock)).await?;
    transcript.pass("offer.signature", "signed by the attested receipt key");
    Ok(session)
}
