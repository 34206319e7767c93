//! `cpods status` and `cpods slots`, and the summary after a run.

use super::figures::{count, size};
use crate::cc::{Hub, socket_path};
use crate::wire::messages::{FromClient, IndexStatus, MirrorStatus, PodStatus, Status, ToClient};
use anyhow::{Context, bail};
use serde_json::json;
use std::fmt::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long a pod that is taken into use may take to be there.
const CONNECTS_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks whether it is.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Asks the running hub.
pub(super) fn ask() -> anyhow::Result<Status> {
    match say(&FromClient::Status)? {
        ToClient::Status(status) => Ok(*status),
        other => bail!("the hub answered something else: {other:?}"),
    }
}

pub(super) fn say(message: &FromClient) -> anyhow::Result<ToClient> {
    let mut hub =
        Hub::connect().with_context(|| format!("socket `{}`", socket_path().display()))?;
    hub.say(message).context("cannot ask the hub")?;
    let answer = hub.connection().frame();
    answer
        .and_then(|frame| frame.message())
        .context("cannot read the hub's answer")
}

/// Takes a pod into use, and waits until it is or says why not; or takes it out of use.
pub(super) fn use_pod(name: &str, wanted: bool) -> anyhow::Result<ExitCode> {
    let pod = name.to_owned();
    match say(&FromClient::Use { pod, wanted })? {
        ToClient::Done { trouble: None } => {}
        ToClient::Done {
            trouble: Some(trouble),
        } => bail!(trouble),
        other => bail!("the hub answered something else: {other:?}"),
    }
    let end = Instant::now() + CONNECTS_WITHIN;
    loop {
        let status = ask()?;
        let pod = status.pods.iter().find(|pod| pod.name == name);
        let (up, why) = pod.map_or((false, ""), |pod| (pod.up, &pod.why));
        if up == wanted {
            return Ok(ExitCode::SUCCESS);
        }
        if Instant::now() > end {
            bail!("pod `{name}` does not come up: {why}");
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

pub(super) fn status(as_json: bool) -> anyhow::Result<ExitCode> {
    let status = ask()?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&to_json(&status))?);
    } else {
        print!("{}", to_text(&status));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn slots() -> anyhow::Result<ExitCode> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let remote = ask().map_or(0, |status| up(&status).map(|pod| pod.slots).sum());
    println!("{}", jobs_for_ninja(cores, remote));
    Ok(ExitCode::SUCCESS)
}

fn up(status: &Status) -> impl Iterator<Item = &PodStatus> {
    status.pods.iter().filter(|pod| pod.up)
}

/// Ninja's own default for this machine (cores + 2), and for the pods what they can run and
/// have waiting at their door.
fn jobs_for_ninja(cores: usize, remote_slots: u32) -> u32 {
    let own = u32::try_from(cores + 2).unwrap_or(u32::MAX);
    own.saturating_add(remote_slots)
        .saturating_add(remote_slots.div_ceil(4))
}

fn to_text(status: &Status) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "hub      pid {}, version {}",
        status.pid, status.version
    );
    for (number, root) in status.roots.iter().enumerate() {
        let index = status.indexes.get(number).map_or(String::new(), index);
        let _ = writeln!(text, "root     {root}{index}");
    }
    let _ = writeln!(
        text,
        "jobs     {} running, {} waiting; {} done on pods ({} of them failed)",
        status.running, status.queued, status.finished, status.failed
    );
    for (why, count) in &status.local {
        let _ = writeln!(text, "local    {count:>5}  {why}");
    }
    for pod in &status.pods {
        let state = if pod.up { "up" } else { "down" };
        let _ = writeln!(
            text,
            "pod      {} ({}): {state}, {} of {} slots busy, {} jobs done, view {}, files {}, worker {}",
            pod.name,
            pod.address,
            pod.running,
            pod.slots,
            pod.finished,
            view_name(pod),
            pod.files,
            pod.worker
        );
        let mirror = pod.mirror.as_ref().map_or(String::new(), mirror);
        let reasons = [&pod.why, &pod.worker_why, &pod.offer.view_why];
        for why in reasons.into_iter().chain([&pod.files_why, &mirror]) {
            if !why.is_empty() {
                let _ = writeln!(text, "           {why}");
            }
        }
        for tool in &pod.offer.tools {
            let id = tool.identity.to_string();
            let _ = writeln!(
                text,
                "           {:<28} {}  {}",
                tool.program,
                &id[..12],
                tool.version
            );
        }
    }
    text
}

/// What is known of a root.
fn index(index: &IndexStatus) -> String {
    let how = match index.scanned_why.as_str() {
        "" => "watched".to_owned(),
        why => format!("walked for every job: {why}"),
    };
    format!(
        ": {}, {}, generation {}, {how}",
        count(index.files, "file", "files"),
        size(index.bytes),
        index.generation
    )
}

/// What came of a mirror.
fn mirror(mirror: &MirrorStatus) -> String {
    format!(
        "mirror: {} sent ({} packed), {} saved, {}, {} for missing content",
        size(mirror.content_bytes),
        size(mirror.sent_bytes),
        size(mirror.saved_bytes()),
        count(mirror.changes, "change", "changes"),
        count(mirror.reruns, "rerun", "reruns")
    )
}

fn view_name(pod: &PodStatus) -> String {
    format!("{:?}", pod.offer.view).to_lowercase()
}

/// The form that programs read; a field once named stays.
fn to_json(status: &Status) -> serde_json::Value {
    let pods: Vec<_> = status.pods.iter().map(pod_json).collect();
    let local: Vec<_> = status
        .local
        .iter()
        .map(|(why, count)| json!({"why": why, "jobs": count}))
        .collect();
    let indexes: Vec<_> = status.indexes.iter().map(index_json).collect();
    json!({
        "pid": status.pid, "version": status.version, "roots": status.roots, "indexes": indexes,
        "queued": status.queued, "running": status.running,
        "finished": status.finished, "failed": status.failed,
        "local": local, "pods": pods,
    })
}

fn index_json(index: &IndexStatus) -> serde_json::Value {
    json!({
        "names": index.names, "files": index.files, "bytes": index.bytes,
        "generation": index.generation, "scanned_why": index.scanned_why,
    })
}

fn mirror_json(mirror: &MirrorStatus) -> serde_json::Value {
    json!({
        "sent_bytes": mirror.sent_bytes, "content_bytes": mirror.content_bytes,
        "saved_bytes": mirror.saved_bytes(), "changes": mirror.changes, "reruns": mirror.reruns,
        "asked_bytes": mirror.asked_bytes, "answered_bytes": mirror.answered_bytes,
    })
}

fn pod_json(pod: &PodStatus) -> serde_json::Value {
    let tools: Vec<_> = pod
        .offer
        .tools
        .iter()
        .map(|tool| {
            json!({
                "tool": tool.tool, "program": tool.program, "path": tool.path.display(),
                "identity": tool.identity.to_string(), "version": tool.version,
            })
        })
        .collect();
    json!({
        "name": pod.name, "address": pod.address, "up": pod.up, "why": pod.why,
        "slots": pod.slots, "running": pod.running, "finished": pod.finished,
        "busy_seconds": Duration::from_micros(pod.busy_us).as_secs_f64(),
        "machine": pod.offer.machine, "view": view_name(pod), "view_why": pod.offer.view_why,
        "files": pod.files, "files_why": pod.files_why,
        "worker": pod.worker, "worker_why": pod.worker_why,
        "mirror": pod.mirror.as_ref().map(mirror_json),
        "tools": tools,
    })
}

/// What a build came to. `before` is the state at its start, for a hub that served others before.
pub(super) fn summary(before: &Status, after: &Status, wall: Duration) -> String {
    let finished = after.finished.saturating_sub(before.finished);
    let failed = after.failed.saturating_sub(before.failed);
    let local = local_since(before, after);
    let local_jobs: u64 = local.iter().map(|(_, count)| count).sum();
    let mut text = format!(
        "cpods: {finished} jobs on pods ({failed} failed), {local_jobs} local; {:.1} s",
        wall.as_secs_f64()
    );
    let slot_us: f64 =
        up(after).map(|pod| f64::from(pod.slots)).sum::<f64>() * wall.as_secs_f64() * 1e6;
    let busy = |status: &Status| status.pods.iter().map(|pod| pod.busy_us).sum::<u64>();
    if slot_us > 0.0 {
        #[expect(clippy::cast_precision_loss, reason = "a share for people")]
        let share = busy(after).saturating_sub(busy(before)) as f64 / slot_us;
        let _ = write!(text, ", slots {:.0}% busy", share * 100.0);
    }
    text.push('\n');
    for (why, count) in &local {
        let _ = writeln!(text, "cpods:   {count} local: {why}");
    }
    for pod in after.pods.iter().filter(|pod| !pod.up) {
        let _ = writeln!(
            text,
            "cpods: WARNING: pod `{}` is not in use: {}",
            pod.name, pod.why
        );
    }
    for pod in up(after).filter(|pod| !pod.worker_why.is_empty()) {
        let _ = writeln!(
            text,
            "cpods: WARNING: pod `{}`: {}",
            pod.name, pod.worker_why
        );
    }
    if finished == 0 && local_jobs > 0 {
        text.push_str("cpods: WARNING: no job ran on a pod, see above for why\n");
    }
    text
}

fn local_since(before: &Status, after: &Status) -> Vec<(String, u64)> {
    let earlier = |why: &str| {
        before
            .local
            .iter()
            .find(|(known, _)| known == why)
            .map_or(0, |(_, n)| *n)
    };
    let since = after
        .local
        .iter()
        .map(|(why, count)| (why.clone(), count - earlier(why)));
    let mut since: Vec<_> = since.filter(|(_, count)| *count > 0).collect();
    since.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    since
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_counts_from_the_start_of_the_build() {
        let before = Status {
            finished: 5,
            local: vec![("links".into(), 2)],
            ..Status::default()
        };
        let mut after = before.clone();
        after.finished = 9;
        after.failed = 1;
        after.local = vec![
            ("links".into(), 3),
            ("0 of 1 pods eligible for gcc: x".into(), 4),
        ];
        let text = summary(&before, &after, Duration::from_secs(2));
        assert!(
            text.starts_with("cpods: 4 jobs on pods (1 failed), 5 local; 2.0 s\n"),
            "{text}"
        );
        assert!(
            text.contains("4 local: 0 of 1 pods eligible for gcc: x"),
            "{text}"
        );
        assert!(!text.contains("WARNING"), "{text}");
        after.pods.push(PodStatus {
            name: "far".into(),
            up: true,
            worker_why: "its service speaks another version".into(),
            ..PodStatus::default()
        });
        let text = summary(&before, &after, Duration::from_secs(2));
        assert!(text.contains("WARNING: pod `far`: its service"), "{text}");
        after.finished = 5;
        assert!(summary(&before, &after, Duration::from_secs(2)).contains("WARNING: no job"));
    }

    #[test]
    fn ninja_gets_more_jobs_than_this_machine_has_cores() {
        assert_eq!(jobs_for_ninja(2, 0), 4);
        assert_eq!(jobs_for_ninja(4, 48), 66);
    }
}
