//! Tools that the hub has sent, and the view in which they run: of this pod's system it shows nothing.

use super::session::Session;
use super::view::{self, View};
use super::warden::proto::Replaced;
use crate::job::{Digest, Job};
use crate::wire::messages::{OfferedTool, SENT, SentTool};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long a view that could not be built is not tried again: it may have been for want of a file.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// When it was built, and what came of it.
type Built = (Instant, Result<Rc<View>, String>);

/// What jobs of a session see otherwise than the pod has it.
#[derive(Default)]
pub(crate) struct Shown {
    /// In place of directories of the pod's.
    pub(crate) replaced: Vec<Replaced>,
    /// The files of the tools that the hub has sent.
    image: Option<PathBuf>,
    tools: Vec<SentTool>,
    /// Built for the first job: before, the files were not there.
    view: Mutex<Option<Built>>,
}

impl Shown {
    pub(crate) fn new(
        (replaced, image): (Vec<Replaced>, Option<PathBuf>),
        tools: Vec<SentTool>,
    ) -> Self {
        Self {
            replaced,
            image,
            tools,
            view: Mutex::default(),
        }
    }

    /// The tool of this number, if it is a job's.
    pub(crate) fn tool(&self, number: u32, job: &Job) -> Option<OfferedTool> {
        let number = usize::try_from(number.checked_sub(SENT)?).ok()?;
        let sent = self.tools.get(number)?;
        (sent.tool == job.need.tool).then(|| OfferedTool {
            tool: sent.tool.clone(),
            program: sent.program.clone(),
            path: sent.path.clone(),
            // The hub has seen to it.
            identity: Digest::of(&[]),
            version: String::new(),
            bare: None,
            searched: Vec::new(),
        })
    }

    /// The view for these tools, in which each of their programs has run.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn view(&self, session: &Session) -> Result<Rc<View>, String> {
        let mut built = self.view.lock().await;
        if let Some((at, view)) = &*built
            && (view.is_ok() || at.elapsed() < TRY_AGAIN_AFTER)
        {
            return view.clone();
        }
        let view = self.build(session).await;
        *built = Some((Instant::now(), view.clone()));
        view
    }

    async fn build(&self, session: &Session) -> Result<Rc<View>, String> {
        let (Some(image), Some(place)) = (&self.image, session.place()) else {
            return Err("no tools were sent".into());
        };
        let (roots, _) = session.configured().await;
        let shown = (&self.replaced[..], Some(image.as_path()));
        let programs = self.tools.iter().flat_map(|tool| &tool.programs);
        view::build_sent(&session.worker, &roots, &place, shown, programs).await
    }
}
