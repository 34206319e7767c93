//! What a pod needs, asked of its own worker.

use super::sheet::Sheet;
use super::{Here, is_here, tools};
use crate::schedd::{self, Address, Clock, PodConfig, Reached, View};
use crate::wire::frame::PROTOCOL;
use crate::wire::messages::{Files, ViewKind};
use crate::wire::status::ServedBy;
use crate::workd::report::{Report, ReportedTool, bare};
use std::time::Duration;

/// A clock that is further off is told.
const CLOCK_OFF: Duration = Duration::from_secs(2);
/// With less room jobs fail; with little they may.
const NO_ROOM_BYTES: u64 = 64 << 20;
const LITTLE_ROOM_BYTES: u64 = 1 << 30;
const NO_INODES: u64 = 100;
const FEW_INODES: u64 = 10_000;

pub(super) async fn examine(sheet: &mut Sheet, here: &Here, pod: &PodConfig) {
    if let Address::Unix(_) = pod.address {
        return examine_listener(sheet, here, pod).await;
    }
    let reached = match here.reach.report(pod).await {
        Ok(reached) => reached,
        Err(why) => return sheet.fail("connection", &why),
    };
    let report: Result<Report, _> = serde_json::from_str(&reached.report);
    let (way, against) = files(here, pod, report.as_ref().ok());
    connection(sheet, pod, way, &reached);
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            let why = format!("its report is not understood ({error}); is it of another version?");
            return sheet.fail("worker", &why);
        }
    };
    worker(sheet, here, pod, &report).await;
    clock(sheet, reached.clock);
    match (way, against) {
        (way, None) => sheet.ok("files", &way.to_string()),
        (Files::Mirror, Some(why)) => {
            let why = format!("mirror, as configured, though {why}");
            sheet.warn("files", &why);
        }
        (way, Some(why)) => sheet.ok("files", &format!("{way}, and no mirror: {why}")),
    }
    if way == Files::Sshfs {
        mounting(sheet, &report);
    }
    view(sheet, pod, report.view, &report.view_why);
    room(sheet, &report);
    let can_show = report.view == ViewKind::Overlay;
    tools::compare(sheet, here, (pod, can_show), &report.tools);
}

/// A worker that was started by somebody else is asked only what hubs ask.
async fn examine_listener(sheet: &mut Sheet, here: &Here, pod: &PodConfig) {
    let Some(roots) = &here.roots else {
        return sheet.fail("connection", "not tried, since there are no roots");
    };
    let offer = match here.reach.offer(pod, roots).await {
        Ok(offer) => offer,
        Err(why) => return sheet.fail("connection", &why),
    };
    sheet.ok("connection", "the worker answers");
    if offer.slots == 0 {
        let why = format!("takes no jobs now: {}", offer.view_why);
        sheet.warn("slots", &why);
    } else {
        sheet.ok("slots", &offer.slots.to_string());
        view(sheet, pod, offer.view, &offer.view_why);
    }
    let can_show = offer.view == ViewKind::Overlay;
    let tools = offer.tools.into_iter().map(|offered| ReportedTool {
        bare: bare(&offered, true),
        tool: offered.tool,
        program: offered.program,
        version: offered.version,
        identity: offered.identity.to_string(),
        parts: Vec::new(),
    });
    tools::compare(sheet, here, (pod, can_show), &tools.collect::<Vec<_>>());
}

/// How a hub would have the pod come to the files, and what speaks against a copy of them if
/// something does that counts.
fn files(here: &Here, pod: &PodConfig, report: Option<&Report>) -> (Files, Option<String>) {
    let no_overlay = || {
        let report = report.filter(|report| report.view != ViewKind::Overlay)?;
        let view = format!("{:?}", report.view).to_lowercase();
        Some(format!("its view is `{view}`: {}", report.view_why))
    };
    let of_roots = || schedd::why_no_copies(here.roots.as_ref()?, &here.file);
    match pod.files {
        Some(Files::Mirror) => (Files::Mirror, of_roots()),
        Some(files) => (files, None),
        None => {
            let against = schedd::why_no_overlay(pod).map(ToOwned::to_owned);
            match against.or_else(no_overlay).or_else(of_roots) {
                Some(why) => (Files::Sshfs, Some(why)),
                None => (Files::Mirror, None),
            }
        }
    }
}

fn connection(sheet: &mut Sheet, pod: &PodConfig, files: Files, reached: &Reached) {
    let sent = reached.sent_bytes.map_or(String::new(), |bytes| {
        format!(", the worker ({} KiB) was sent", bytes >> 10)
    });
    let trip = reached.clock.trip.as_secs_f64() * 1e3;
    sheet.ok("connection", &format!("{trip:.1} ms there and back{sent}"));
    if is_here(pod) {
        return;
    }
    let greeting = reached.greeting.trim();
    if greeting.is_empty() {
        return sheet.ok("login shell", "quiet");
    }
    let first = greeting.lines().next().unwrap_or_default();
    let first: String = first.chars().take(60).collect();
    let why = format!(
        "prints `{first}` where no terminal is, which sshfs takes for files' data; make its \
         start-up files quiet there"
    );
    match files {
        Files::Sshfs => sheet.fail("login shell", &why),
        Files::Shared | Files::Mirror => sheet.warn("login shell", &why),
    }
}

async fn worker(sheet: &mut Sheet, here: &Here, pod: &PodConfig, report: &Report) {
    let found = format!(
        "version {}, {} slots, {} on {}",
        report.version, report.slots, report.kernel, report.machine
    );
    if report.protocol != PROTOCOL {
        let why = format!(
            "{found}; it speaks version {} of the protocol, this is {PROTOCOL}: build it anew",
            report.protocol
        );
        return sheet.fail("worker", &why);
    }
    // What answers a hub may be a service of the pod's own.
    match here.reach.greet(pod).await {
        Err(why) => sheet.fail("worker", &why),
        Ok(served) if !served.why.is_empty() => sheet.warn("worker", &served.why),
        Ok(served) if served.by == ServedBy::Service => {
            sheet.ok("worker", &format!("{found}; served by its service"));
        }
        Ok(_) => sheet.ok("worker", &found),
    }
}

fn clock(sheet: &mut Sheet, clock: Clock) {
    let off = Duration::from_micros(clock.ahead_us.unsigned_abs());
    let seconds = off.as_secs_f64();
    let way = if clock.ahead_us < 0 {
        "behind"
    } else {
        "ahead"
    };
    if off.saturating_sub(clock.trip / 2) > CLOCK_OFF {
        let why = format!(
            "{seconds:.1} s {way}; outputs bear this machine's time all the same, but what jobs \
             print of the time is wrong: set it, with NTP"
        );
        return sheet.warn("clock", &why);
    }
    sheet.ok("clock", &format!("{seconds:.3} s {way}"));
}

fn mounting(sheet: &mut Sheet, report: &Report) {
    let advised = |found: &Result<String, String>, what: &str| {
        let found = found.clone();
        found.map_err(|why| format!("{why}; {what}"))
    };
    let install = "install sshfs (with fuse3) on the pod";
    sheet.check("sshfs", advised(&report.sshfs, install));
    sheet.check("fusermount3", advised(&report.fusermount, install));
    let open = report.fuse.clone().map(|()| "can be opened".to_owned());
    let advice = "load the module `fuse` on the pod, and let its user read and write the device";
    sheet.check("/dev/fuse", advised(&open, advice));
}

fn view(sheet: &mut Sheet, pod: &PodConfig, view: ViewKind, why: &str) {
    let wanted = pod.unsandboxed || pod.view == View::Rewrite;
    match view {
        ViewKind::Overlay => sheet.ok("view", "overlay, proven by a job"),
        ViewKind::Rewrite if wanted || why.is_empty() => {
            sheet.ok("view", "rewrite, as it was asked for");
        }
        ViewKind::Rewrite => {
            let why = format!(
                "rewrite, so that fewer jobs can go there; no overlay: {why}; Linux 5.11 or newer \
                 with user namespaces can have it"
            );
            sheet.warn("view", &why);
        }
        ViewKind::None => {
            let why = format!(
                "none that is safe: {why}; allow user namespaces there (sysctl \
                 user.max_user_namespaces, kernel.unprivileged_userns_clone, \
                 kernel.apparmor_restrict_unprivileged_userns), or set `unsandboxed = true`"
            );
            sheet.fail("view", &why);
        }
    }
}

fn room(sheet: &mut Sheet, report: &Report) {
    let bytes = report.free_bytes;
    let inodes = report.free_inodes.unwrap_or(u64::MAX);
    let counted = report.free_inodes.map_or(String::new(), |count| {
        format!(", {count} files can be made")
    });
    let found = format!("{} MiB free{counted} in `{}`", bytes >> 20, report.cache);
    let advice = "make room, or give its worker another folder";
    if bytes < NO_ROOM_BYTES || inodes < NO_INODES {
        sheet.fail("disk", &format!("{found}; {advice}"));
    } else if bytes < LITTLE_ROOM_BYTES || inodes < FEW_INODES {
        sheet.warn("disk", &format!("{found}; {advice}"));
    } else {
        sheet.ok("disk", &found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_the_way_is_no_fault_of_the_clock() {
        for (ahead_us, trip_ms, warnings) in [
            (0, 0, true),
            (1_900_000, 0, true),
            (-2_100_000, 0, false),
            (2_100_000, 300, true),
            (3_600_000_000, 300, false),
        ] {
            let mut sheet = Sheet::begin("pod");
            let trip = Duration::from_millis(trip_ms);
            clock(&mut sheet, Clock { ahead_us, trip });
            assert_eq!(sheet.is_well(), warnings, "{ahead_us} {trip_ms}");
        }
    }
}
