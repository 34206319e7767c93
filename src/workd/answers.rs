//! A session's answers on their way to the hub.

use super::session::Out;
use crate::wire::stream::{Sender, WireError};
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;

/// Writes them as they come, together what is there together.
pub(super) async fn write<W: AsyncWrite + Unpin>(
    sender: &mut Sender<W>,
    mut answers: mpsc::Receiver<Out>,
) -> Result<(), WireError> {
    while let Some(answer) = answers.recv().await {
        let mut next = Some(answer);
        while let Some(answer) = next {
            match answer {
                Out::Message(message) => sender.message(&message).await?,
                Out::Data(job, channel, bytes) => sender.data(job, channel, &bytes).await?,
            }
            next = answers.try_recv().ok();
        }
        sender.flush().await?;
    }
    Ok(())
}
