//! A job that came: it begins once the files are as they were when it was sent.

use super::{Running, Session, broken};
use crate::job::Digest;
use crate::wire::codec;
use crate::wire::messages::{JobNumber, Task};
use crate::wire::stream::WireError;
use crate::workd::run;
use std::rc::Rc;
use tokio::sync::Notify;

impl Session {
    pub(super) fn start(
        self: &Rc<Self>,
        job: JobNumber,
        tool: (u32, Option<Digest>),
        task: &[u8],
        inputs: Vec<Digest>,
    ) -> Result<(), WireError> {
        if self.configured.borrow().is_none() {
            return Err(broken("a job before the configuration"));
        }
        let task: Task = codec::decode(task)?;
        let cancel = Rc::new(Notify::new());
        let running = Running {
            cancel: Rc::clone(&cancel),
            has_slot: false,
            task: None,
        };
        if self.jobs.borrow_mut().insert(job, running).is_some() {
            return Err(broken("a job number used twice"));
        }
        let session = Rc::clone(self);
        // What changed before this job came is there before it runs.
        let come = self.mirror().map_or(0, |mirror| mirror.come());
        let run = run::run(session, (job, come, inputs), tool, task, cancel);
        let handle = tokio::task::spawn_local(run);
        if let Some(running) = self.jobs.borrow_mut().get_mut(&job) {
            running.task = Some(handle.abort_handle());
        }
        Ok(())
    }
}
