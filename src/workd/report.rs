//! What a worker finds of its own machine, for `cpods doctor` on the hub.
//!
//! `cpods-workd --report` answers each line of its standard input by the time, so that the hub can
//! hold its own clock against it, and the end of the input by the report: each one line of JSON.

use super::tools::search_path;
use super::worker::{Config, FindTools, Worker};
use crate::probe::{Found, Prober, default_cache, find_on_path};
use crate::rules::RuleSet;
use crate::wire::frame::PROTOCOL;
use crate::wire::messages::{OfferedTool, ViewKind};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// What a worker knows of its machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The worker's version.
    pub version: String,
    /// What it speaks with hubs.
    pub protocol: u16,
    /// `Linux 6.1.0`.
    pub kernel: String,
    /// `x86_64`, `aarch64`.
    pub machine: String,
    /// Jobs at a time.
    pub slots: u32,
    /// The version of sshfs, or why there is none.
    pub sshfs: Result<String, String>,
    /// The helper that mounts for users, or why there is none.
    pub fusermount: Result<String, String>,
    /// Whether `/dev/fuse` can be opened, or why not.
    pub fuse: Result<(), String>,
    /// The view it proved.
    pub view: ViewKind,
    /// Why not a better one, or why none.
    pub view_why: String,
    /// Where it keeps its things.
    pub cache: String,
    /// Left there, in bytes.
    pub free_bytes: u64,
    /// Files that can still be made there; none where the file system does not count them.
    pub free_inodes: Option<u64>,
    /// The tools it offers.
    pub tools: Vec<ReportedTool>,
}

/// A tool in a [`Report`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedTool {
    /// The rule's name.
    pub tool: String,
    /// The program's name there.
    pub program: String,
    /// For people.
    pub version: String,
    /// Everything that decides its results, in hexadecimal.
    pub identity: String,
    /// The same but for the headers that it finds; empty if it looks for none.
    #[serde(default)]
    pub bare: String,
    /// What that was made of: in words, and in hexadecimal.
    pub parts: Vec<(String, String)>,
}

impl ReportedTool {
    /// Of a tool that was probed.
    pub fn of(found: Found) -> Self {
        let parts = found.parts.into_iter();
        Self {
            bare: bare(&found.offered, found.headers.why_not.is_none()),
            tool: found.offered.tool,
            program: found.offered.program,
            version: found.offered.version,
            identity: found.offered.identity.to_string(),
            parts: parts
                .map(|(name, digest)| (name, digest.to_string()))
                .collect(),
        }
    }
}

/// In hexadecimal, where headers can be shown to it at all.
pub fn bare(offered: &OfferedTool, can_be_shown: bool) -> String {
    let bare = offered.bare.filter(|_| can_be_shown);
    bare.map(|it| it.to_string()).unwrap_or_default()
}

/// What stands for the time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Time {
    /// Since 1970, in microseconds.
    pub now_us: u64,
}

impl Time {
    /// This machine's.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let since = since.unwrap_or(Duration::ZERO).as_micros();
        Self {
            now_us: u64::try_from(since).unwrap_or(u64::MAX),
        }
    }
}

/// All tools along this process's search path, in parts.
pub fn find_tools(rules: &RuleSet) -> Vec<Found> {
    let path = search_path();
    Prober::new(&path, default_cache()).find_all(rules, &path, true)
}

/// Tells the time as often as it is asked for.
///
/// # Errors
/// The streams' errors.
pub(super) fn tell_time() -> anyhow::Result<()> {
    for line in io::stdin().lock().lines() {
        line?;
        write(&Time::now())?;
    }
    Ok(())
}

/// Writes the report: of a worker with this configuration and these tools.
///
/// # Errors
/// The stream's errors; the cache folder cannot be used.
pub(super) fn tell(config: Config, tools: Vec<Found>) -> anyhow::Result<()> {
    write(&make(config, tools)?)
}

fn write(value: &impl Serialize) -> anyhow::Result<()> {
    let line = serde_json::to_string(value)?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

fn make(config: Config, tools: Vec<Found>) -> anyhow::Result<Report> {
    let offered = tools.iter().map(|found| found.offered.clone());
    let config = Config {
        tools: FindTools::fixed(offered.collect()),
        in_use: None,
        ..config
    };
    let (cache, slots) = (config.cache.clone(), config.slots);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    let offer = local.block_on(&runtime, async {
        let worker = Worker::open(config)?;
        worker.refresh().await;
        io::Result::Ok(worker.offer())
    })?;
    let system = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let room = rustix::fs::statvfs(&cache)?;
    Ok(Report {
        version: env!("CARGO_PKG_VERSION").into(),
        protocol: PROTOCOL,
        kernel: format!("{} {}", text(system.sysname()), text(system.release())),
        machine: offer.machine,
        slots,
        sshfs: sshfs(),
        fusermount: fusermount(),
        fuse: fuse(),
        view: offer.view,
        view_why: offer.view_why,
        cache: cache.display().to_string(),
        free_bytes: room.f_bavail.saturating_mul(room.f_frsize),
        free_inodes: (room.f_files > 0).then_some(room.f_favail),
        tools: tools.into_iter().map(ReportedTool::of).collect(),
    })
}

fn sshfs() -> Result<String, String> {
    let said = Command::new("sshfs")
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run `sshfs`: {error}"))?;
    let said = String::from_utf8_lossy(&said.stdout);
    // The helper that it asks for its version may be heard first.
    let own = said.lines().find(|line| line.starts_with("SSHFS"));
    Ok(own
        .unwrap_or("of a version that it does not tell")
        .to_owned())
}

fn fusermount() -> Result<String, String> {
    let path = search_path();
    ["fusermount3", "fusermount"]
        .iter()
        .find_map(|name| find_on_path(OsStr::new(name), &path))
        .map(|found| found.display().to_string())
        .ok_or_else(|| "there is no `fusermount3`".to_owned())
}

fn fuse() -> Result<(), String> {
    let device = Path::new("/dev/fuse");
    rustix::fs::open(device, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map(drop)
        .map_err(|errno| errno.to_string())
}
