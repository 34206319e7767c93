//! What an init is told to run, and what it means when the tool could not be started.

use super::render::Rendered;
use super::run::Stop;
use super::view::View;
use super::warden::proto::Run;
use super::{limits, lower};
use crate::paths::Bytes;
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
    view: &View,
) -> io::Result<Run> {
    let (wanted, dirs) = (rendered.out_dirs, view.place.dirs.clone());
    let out_dirs = view.place.ask(move || lower::out_dirs(&wanted, &dirs));
    let out_dirs = out_dirs.await?;
    Ok(Run {
        exe: rendered.exe.or(exe).unwrap_or_default(),
        argv: rendered.argv,
        env: rendered.env,
        cwd: rendered.cwd,
        umask: task.surroundings.umask & 0o777,
        limits: limits::of_processes(task),
        roots: rendered.roots,
        out_dirs,
        files: rendered.files,
        warm: None,
    })
}
