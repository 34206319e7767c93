//! One client's connection: a wrapper with a job, or somebody who asks.

use super::outbox::Outbox;
use super::state::Hub;
use super::status;
use crate::wire::frame::{FrameError, Peer};
use crate::wire::messages::{FromClient, ToClient};
use crate::wire::stream::{Receiver, WireError};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::net::UnixStream;

/// How long a client may stay silent before its first message.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves one connection to its end.
pub(super) async fn serve(hub: Rc<Hub>, stream: UnixStream) {
    let (read, write) = stream.into_split();
    let outbox = Rc::new(Outbox::default());
    let writer = tokio::task::spawn_local({
        let outbox = Rc::clone(&outbox);
        async move { outbox.send_all(write).await }
    });
    let mut receiver = Receiver::new(read);
    match converse(&hub, &mut receiver, &outbox).await {
        // A client may leave at any time: that is how a build is interrupted.
        Ok(()) | Err(WireError::Closed | WireError::Io(_)) => {}
        Err(error) => tracing::warn!("dropped a client: {error}"),
    }
    outbox.close();
    let _ = writer.await;
}

async fn converse<R: AsyncRead + Unpin>(
    hub: &Rc<Hub>,
    receiver: &mut Receiver<R>,
    outbox: &Rc<Outbox>,
) -> Result<(), WireError> {
    outbox.hello(Peer::Hub);
    outbox.message(&ToClient::Welcome {
        roots: hub.roots().clone(),
    })?;
    let Ok(message) = tokio::time::timeout(PATIENCE, first(receiver)).await else {
        return Err(WireError::Closed);
    };
    match message? {
        FromClient::RanLocally { why, .. } => hub.ran_locally(&why),
        FromClient::Status => outbox.message(&ToClient::Status(Box::new(status::of(hub))))?,
        FromClient::Last { most } => {
            let last = hub.look(|state| state.ledger.last(most));
            outbox.message(&ToClient::Last(last))?;
        }
        FromClient::Use { pod, wanted } => {
            let trouble = hub.want(&pod, wanted).err();
            outbox.message(&ToClient::Done { trouble })?;
        }
        FromClient::Submit(submit) => {
            let job = hub.new_job();
            let gone = async {
                // Nothing more comes from a wrapper: any frame, or the end, ends its job.
                match receiver.frame().await {
                    Ok(_) => FrameError::Payload("a frame after the job".into()).into(),
                    Err(end) => end,
                }
            };
            let told = hub.submit(job, *submit, outbox);
            tokio::pin!(gone);
            let end = tokio::select! {
                end = &mut gone => end,
                () = told => gone.await,
            };
            hub.abandon(job);
            return Err(end);
        }
    }
    Ok(())
}

async fn first<R: AsyncRead + Unpin>(receiver: &mut Receiver<R>) -> Result<FromClient, WireError> {
    receiver.hello(Peer::Client).await?;
    Ok(receiver.frame().await?.message()?)
}
