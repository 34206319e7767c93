//! What is remembered of what was sent.

use super::*;
use crate::schedd::content::Source;
use crate::wire::files::{Change, Entry, More};
use crate::wire::messages::Stamp;

fn content(text: &[u8]) -> ToPod {
    ToPod::Content {
        digest: Digest::of(text),
        packed: packed::pack(text).unwrap(),
        last: true,
    }
}

fn named(name: &str, text: &[u8]) -> Change {
    let entry = Entry {
        what: EntryKind::File {
            digest: Digest::of(text),
            size_bytes: text.len() as u64,
        },
        mode: 0o644,
        mtime: Stamp {
            seconds: 0,
            nanoseconds: 0,
        },
        group: None,
    };
    Change {
        later: false,
        name: name.into(),
        entry: Some(entry),
    }
}

fn list(changes: Vec<Change>) -> ToPod {
    ToPod::Changes {
        root: RootId(0),
        changes,
        more: More::Nothing,
    }
}

fn noted(path: &str, text: &[u8], why: SentWhy, later: bool) -> Noted {
    Noted {
        root: RootId(0),
        source: Source {
            digest: Digest::of(text),
            name: path.into(),
            path: path.into(),
            size_bytes: text.len() as u64,
            why,
        },
        later,
    }
}

/// Names, and why each was sent.
fn sent(job: &LastJob) -> Vec<(&str, SentWhy)> {
    let sent = job.sent.iter();
    sent.map(|it| (it.name.as_str(), it.why)).collect()
}

fn told(pod: &str) -> LastJob {
    LastJob {
        pod: pod.into(),
        ..LastJob::default()
    }
}

#[test]
fn content_is_counted_and_named() {
    let mut ledger = Ledger::of(&Roots::new(["/r"]).unwrap());
    let mut flow = Flow::default();
    let (new, old, input) = ([b'n'; 5000], [b'o'; 7000], [b'i'; 900]);
    let mut all = List::default();
    all.see(&mut flow, &content(&new));
    all.see(
        &mut flow,
        &list(vec![named("new.h", &new), named("old.h", &old)]),
    );
    // A job's inputs come after the list, whether that names them or not.
    all.see(&mut flow, &content(&input));
    let mut job = told("far");
    let all_noted = vec![
        noted("/r/new.h", &new, SentWhy::Changed, false),
        noted("/r/d/large", b"large", SentWhy::Learned, true),
        noted("/usr/in.c", &input, SentWhy::Input, false),
    ];
    let awaits = all.end(&mut flow, &mut job, (all_noted, &ledger));
    assert_eq!(awaits, [Digest::of(b"large")]);
    ledger.begin(Some(RunId(7)), job, awaits);
    flow.asked(7000);
    let ends = ledger.name(RootId(0), Path::new("/r/old.h"));
    let ends = Some((ends, SentWhy::Asked));
    flow.answer(&content(&old), ends.clone(), ("far", &mut ledger));
    flow.answer(&content(&old), ends, ("other", &mut ledger));
    ledger.end(RunId(7), 5);
    let last = ledger.last(10);
    let expected = [
        ("new.h", SentWhy::Changed),
        ("/usr/in.c", SentWhy::Input),
        ("old.h", SentWhy::Asked),
    ];
    assert_eq!(sent(&last[0]), expected);
    assert_eq!((last[0].job, last[0].ran_us, last[0].changes), (7, 5, 2));
    assert!(last[0].there_us.is_some());
    let counts = flow.counts;
    assert_eq!(counts.content_bytes, 5000 + 900 + 7000 + 7000);
    assert_eq!((counts.asked_bytes, counts.named_bytes), (7000, 12_000));
    assert!(counts.sent_bytes < 1000, "as it travels");
}

#[test]
fn what_comes_bit_by_bit_is_told_of_the_job_that_awaits_it() {
    let (mut ledger, mut flow) = (Ledger::default(), Flow::default());
    let awaited = vec![Digest::of(b"awaited")];
    ledger.begin(Some(RunId(1)), told("far"), awaited.clone());
    ledger.begin(Some(RunId(2)), told("far"), Vec::new());
    ledger.begin(Some(RunId(3)), told("near"), awaited);
    for text in [&b"awaited"[..], b"other", b"awaited"] {
        let ends = Some((String::from_utf8_lossy(text).into(), SentWhy::Input));
        flow.answer(&content(text), ends, ("far", &mut ledger));
    }
    let last = ledger.last(3);
    assert_eq!(sent(&last[0]), [("awaited", SentWhy::Input)]);
    let rest = [("other", SentWhy::Input), ("awaited", SentWhy::Input)];
    assert_eq!(sent(&last[1]), rest);
    assert_eq!(sent(&last[2]), []);
}

#[test]
fn what_has_no_name_is_counted_and_not_named() {
    let (mut flow, ledger, mut job) = (Flow::default(), Ledger::default(), told("far"));
    let mut all = List::default();
    for text in [&b"one"[..], b"two"] {
        all.see(&mut flow, &content(text));
    }
    let one = noted("/one", b"one", SentWhy::Changed, false);
    all.end(&mut flow, &mut job, (vec![one], &ledger));
    assert_eq!(sent(&job), [("/one", SentWhy::Changed)]);
    assert_eq!(job.more, 1);
    assert!(job.more_bytes > 0);
}

#[test]
fn no_more_is_kept_than_is_worth_it() {
    let mut ledger = Ledger::default();
    for run in 0..1000 {
        let mut told = LastJob::default();
        for number in 0..50 {
            told.add(Sent {
                name: String::new(),
                bytes: number,
                why: SentWhy::Changed,
            });
        }
        ledger.begin(Some(RunId(run)), told, Vec::new());
    }
    let last = ledger.last(u32::MAX);
    assert_eq!(last.len(), MOST_JOBS);
    assert_eq!(last.last().unwrap().job, 999);
    assert_eq!((last[0].sent.len(), last[0].more), (MOST_SENT, 50 - 16));
    assert_eq!(ledger.last(3).len(), 3);
}
