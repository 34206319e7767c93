//! The overlays of a job: over its roots, or a part of each, and over the warm directory of its tool.

use super::init::make_dir;
use super::sys::{Step, StepError};
use crate::workd::warm;
use rustix::fs::{Mode, XattrFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;
use std::ffi::CString;
use std::path::Path;

/// What overlayfs marks its copies by.
const ORIGIN: &str = "user.overlay.origin";

/// Mounts the warm directory `lower`: what this job changes in it is this job's own.
pub(super) fn mount_warm(lower: &str, own: &Path) -> Result<(), StepError> {
    let upper = own.join(warm::CHANGES);
    let work = own.join("warm/work");
    make_dir(own.join("warm"), 0o755)?;
    make_dir(&upper, 0o755)?;
    make_dir(&work, 0o755)?;
    let (upper, work) = (upper.display(), work.display());
    let options =
        format!("lowerdir={lower},upperdir={upper},workdir={work},userxattr,volatile,index=off");
    overlay(&options, Path::new(warm::SHOWN))
}

/// Mounts what is below `part` of the root of this index, which is to be had at `lower`, over its
/// own path `target`, its changes to be seen below `own/up/index`.
pub(super) fn mount_root(
    mut lower: String,
    part: &Path,
    target: &Path,
    (index, own): (u16, &Path),
) -> Result<(), StepError> {
    let own = own.display();
    let mut upper = format!("{own}/up/{index}");
    let work = format!("{own}/work{index}");
    make_dir(&work, 0o755)?;
    like_lower(&lower, &upper)?;
    for name in part {
        for path in [&mut lower, &mut upper] {
            path.push('/');
            // The worker has seen to it that it is text.
            path.push_str(&name.to_string_lossy());
        }
        make_dir(&upper, 0o755)?;
        like_lower(&lower, &upper)?;
        // Not the job's doing: what overlayfs would have made of it, a copy of unknown origin.
        rustix::fs::setxattr(upper.as_str(), ORIGIN, &[], XattrFlags::empty())
            .step(|| format!("mark `{upper}`"))?;
    }
    // None of these paths needs escaping: all are the template's own names, whatever the root is
    // called on the pod, and the part has been looked at. `volatile`: nothing here outlives the job,
    // so nothing is synced.
    let options =
        format!("lowerdir={lower},upperdir={upper},workdir={work},userxattr,volatile,index=off");
    overlay(&options, &target.join(part))
}

/// A directory of the view takes its mode from the upper directory.
fn like_lower(lower: &str, upper: &str) -> Result<(), StepError> {
    if let Ok(stat) = rustix::fs::stat(lower) {
        let mode = Mode::from_raw_mode(stat.st_mode & 0o1777);
        rustix::fs::chmod(upper, mode).step(|| format!("chmod `{upper}`"))?;
    }
    Ok(())
}

fn overlay(options: &str, target: &Path) -> Result<(), StepError> {
    let options = CString::new(options)
        .map_err(|_| Errno::INVAL)
        .step(|| "overlay options".into())?;
    rustix::mount::mount(
        "overlay",
        target,
        "overlay",
        MountFlags::NOSUID | MountFlags::NODEV,
        options.as_c_str(),
    )
    .step(|| format!("mount an overlay on `{}`", target.display()))
}
