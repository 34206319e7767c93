//! What an init is told to run, and what it means when the tool could not be started.

use super::render::Rendered;
use super::run::Stop;
use super::view::View;
use super::warden::proto::{JobRoot, Run};
use super::{limits, lower};
use crate::paths::{Bytes, RootId};
use crate::wire::messages::Task;
use std::io;

pub(crate) fn not_started(exe: &Bytes, errno: i32) -> Stop {
    let error = io::Error::from_raw_os_error(errno);
    let why = format!("start `{}`: {error}", exe.display());
    match error.kind() {
        io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock => Stop::Fault(why),
        _ => Stop::Declined(why),
    }
}

pub(crate) async fn to_run(
    rendered: Rendered,
    exe: Option<Bytes>,
    task: &Task,
    (view, writes_near): (&View, bool),
) -> io::Result<Run> {
    let (wanted, dirs) = (rendered.out_dirs, view.place.dirs.clone());
    let out_dirs = view.place.ask(move || lower::out_dirs(&wanted, &dirs));
    let out_dirs = out_dirs.await?;
    let root = |index: u16| {
        let files = view.place.dirs.get(usize::from(index));
        let files = files.filter(|_| writes_near);
        let near = files.map(|files| lower::written(&task.job, RootId(index), files));
        JobRoot {
            index,
            writable: near.unwrap_or_default(),
        }
    };
    Ok(Run {
        exe: rendered.exe.or(exe).unwrap_or_default(),
        argv: rendered.argv,
        env: rendered.env,
        cwd: rendered.cwd,
        umask: task.surroundings.umask & 0o777,
        limits: limits::of_processes(task),
        roots: rendered.roots.into_iter().map(root).collect(),
        out_dirs,
        files: rendered.files,
        warm: None,
    })
}
