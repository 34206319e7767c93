//! `cpods explain --last`: what was done for the last jobs.

use super::figures::{clock, count, size, time};
use super::show::say;
use crate::wire::messages::{FromClient, LastJob, Sent, SentWhy, ToClient};
use anyhow::bail;
use serde_json::json;
use std::fmt::Write;
use std::process::ExitCode;

/// Asks the running hub.
pub(super) fn last(most: u32, as_json: bool) -> anyhow::Result<ExitCode> {
    let jobs = match say(&FromClient::Last { most })? {
        ToClient::Last(jobs) => jobs,
        other => bail!("the hub answered something else: {other:?}"),
    };
    if as_json {
        let jobs: Vec<_> = jobs.iter().map(to_json).collect();
        println!("{}", serde_json::to_string_pretty(&jobs)?);
    } else if jobs.is_empty() {
        println!("no job was given to a pod yet");
    } else {
        print!("{}", jobs.iter().map(to_text).collect::<String>());
    }
    Ok(ExitCode::SUCCESS)
}

fn to_text(job: &LastJob) -> String {
    let mut text = match job.program.is_empty() {
        true => format!(
            "{} UTC  pod {}: without a job, told of",
            clock(job.begun),
            job.pod
        ),
        false => format!(
            "{} UTC  job {}, {}, on pod {}: {}; told of",
            clock(job.begun),
            job.job,
            job.program,
            job.pod,
            times(job)
        ),
    };
    let _ = writeln!(text, " {}", count(job.changes, "change", "changes"));
    for sent in &job.sent {
        let why = match sent.why {
            SentWhy::Changed => "had changed",
            SentWhy::Input => "the job names it",
            SentWhy::Asked => "the pod asked for it",
            SentWhy::Opened => "a job there opened it",
            SentWhy::Learned => "jobs opened it before",
        };
        let _ = writeln!(text, "    sent {} ({}): {why}", sent.name, size(sent.bytes));
    }
    if job.more > 0 {
        let more = count(job.more, "more file", "more files");
        let _ = writeln!(text, "    sent {more} ({})", size(job.more_bytes));
    }
    text
}

/// The tool's own time, and what was waited for.
fn times(job: &LastJob) -> String {
    let queued = time(job.queued_us);
    match job.there_us {
        None => format!("not ended yet, after {queued} in the queue"),
        Some(there_us) => format!(
            "ran {}, after {queued} in the queue; {} for the way, its files and its outputs",
            time(job.ran_us),
            time(there_us.saturating_sub(job.ran_us))
        ),
    }
}

fn to_json(job: &LastJob) -> serde_json::Value {
    let sent = |sent: &Sent| json!({"name": sent.name, "bytes": sent.bytes, "why": sent.why});
    let seconds = |us: u64| std::time::Duration::from_micros(us).as_secs_f64();
    json!({
        "job": job.job, "program": job.program, "pod": job.pod, "begun": job.begun,
        "queued_seconds": seconds(job.queued_us), "there_seconds": job.there_us.map(seconds),
        "ran_seconds": seconds(job.ran_us), "changes": job.changes,
        "sent": job.sent.iter().map(sent).collect::<Vec<_>>(),
        "more_sent": job.more, "more_sent_bytes": job.more_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_told_in_few_lines() {
        let job = LastJob {
            job: 12,
            program: "gcc".into(),
            pod: "far".into(),
            begun: 3_661,
            queued_us: 1_500,
            there_us: Some(40_000),
            ran_us: 30_000,
            changes: 1,
            sent: vec![Sent {
                name: "a.h".into(),
                bytes: 2048,
                why: SentWhy::Changed,
            }],
            more: 2,
            more_bytes: 10,
        };
        let expected = "01:01:01 UTC  job 12, gcc, on pod far: ran 30.0 ms, after 1.5 ms in the \
             queue; 10.0 ms for the way, its files and its outputs; told of 1 change\n    \
             sent a.h (2.0 KiB): had changed\n    sent 2 more files (10 bytes)\n";
        assert_eq!(to_text(&job), expected);
        let first = LastJob {
            pod: "far".into(),
            changes: 3,
            ..LastJob::default()
        };
        let expected = "00:00:00 UTC  pod far: without a job, told of 3 changes\n";
        assert_eq!(to_text(&first), expected);
    }
}
