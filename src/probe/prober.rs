//! Probes tools, and remembers what it found for as long as it is true.

use super::command::CommandError;
use super::digests::{Digests, Seconds, Stamp, now};
use super::evidence::{Asking, Evidence};
use super::gather::{Ask, gather_all};
use super::hops;
use super::identity::Sources;
use super::offer::{Found, all_needs, offer, program_files};
use super::parallel;
use super::path::{all_on_path, at_home, directories};
use super::seen::{Seen, SeenFiles};
use super::tree::Forest;
use crate::rules::{Probe, Rule, RuleSet};
use crate::wire::messages::OfferedTool;
use std::collections::{BTreeSet, HashMap};
use std::env::consts::ARCH;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Longest time for one question. Tools answer within 0.1 s; a cold disk may take seconds.
const LIMIT: Duration = Duration::from_secs(10);

/// A tool whose identity is not known.
#[derive(Clone, Debug, Error)]
pub enum ProbeError {
    /// There is no such program.
    #[error("`{0}` is no executable program")]
    Absent(PathBuf),
    /// A question was not answered.
    #[error("`{program}` with arguments `{args}`", program = program.display(), args = args.display())]
    Command {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        args: OsString,
        /// Why.
        source: CommandError,
    },
    /// The tool did not say what it is.
    #[error("`{program} {args}` exited with code {code}", program = program.display())]
    Refused {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        args: String,
        /// Its exit code.
        code: i32,
    },
    /// A file that is part of the identity cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
}

/// Where digests of files are kept between runs: in the user's cache folder, if there is one.
pub fn default_cache() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = set("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")))?;
    cache
        .is_absolute()
        .then(|| cache.join("cpods").join("digests"))
}

/// Files as they were before they were looked at.
type Stamps = Vec<(PathBuf, Option<Stamp>)>;

/// A tool that was probed.
#[derive(Clone, Debug)]
struct Record {
    found: Found,
    /// What was asked, since rules can be loaded anew.
    probe: Probe,
    /// Where the program's path led.
    resolved: PathBuf,
    /// The files that are checked at each question: programs and what they load.
    stamps: Stamps,
    /// How many doubts there had been.
    round: u64,
}

impl Record {
    /// Whether the tool's own files are as they were.
    fn is_true(&self, path: &Path) -> bool {
        let stamp = |file: &Path| file.metadata().ok().map(|found| Stamp::of(&found));
        // What executables in roots find is of no path.
        let leads_there = path.as_os_str().is_empty()
            || path.canonicalize().is_ok_and(|real| real == self.resolved);
        leads_there && self.stamps.iter().all(|(file, then)| stamp(file) == *then)
    }
}

/// Probes tools. One value serves a whole process; it is not cheap to make.
///
/// What it found of a tool is taken as true while the stamps of the tool's own programs and
/// libraries stay the same. Of headers and other directories it hears through [`Prober::doubt`],
/// to be called when a [`super::Watch`] on [`Prober::watched`] reports a change.
#[derive(Debug)]
pub struct Prober {
    path: OsString,
    limit: Duration,
    cache: Option<PathBuf>,
    digests: Digests,
    records: HashMap<(String, PathBuf), Record>,
    watched: BTreeSet<PathBuf>,
    seen: Seen,
    round: u64,
    looks: u64,
}

impl Prober {
    /// A prober whose tools see the search path `path`. Digests are kept in the file `cache`, see
    /// [`default_cache`]; without one, in memory only.
    pub fn new(path: &OsStr, cache: Option<PathBuf>) -> Self {
        let digests = cache.as_deref().map(Digests::load).unwrap_or_default();
        Self {
            path: path.into(),
            limit: LIMIT,
            cache,
            digests,
            records: HashMap::new(),
            watched: directories(path).collect(),
            seen: Seen::new(),
            round: 0,
            looks: 0,
        }
    }

    /// Changes how long one question may take.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Nothing found so far is believed without looking at all of it again.
    pub fn doubt(&mut self) {
        self.round += 1;
        self.watched = directories(&self.path).collect();
        self.seen = Seen::new();
    }

    /// Whether all that was looked at since the last doubt is as it was, for sure. Cheap against a
    /// new probe: to be asked once what is in [`Prober::watched`] is really watched.
    pub fn is_unchanged(&self) -> bool {
        self.seen.is_unchanged()
    }

    /// The files among all that: what tools are found where may change without them.
    pub fn files_seen(&self) -> SeenFiles {
        self.seen.files()
    }

    /// What the program at `path`, called `program`, is. For a rule that covers executables in
    /// roots, what they find on this machine; `path` is then not looked at.
    ///
    /// # Errors
    /// See [`ProbeError`].
    pub fn probe(
        &mut self,
        rule: &Rule,
        program: &str,
        path: &Path,
    ) -> Result<OfferedTool, ProbeError> {
        self.find(rule, program, path).map(|found| found.offered)
    }

    /// The same, with what its identity covers.
    ///
    /// # Errors
    /// See [`ProbeError`].
    pub fn find(&mut self, rule: &Rule, program: &str, path: &Path) -> Result<Found, ProbeError> {
        // Questions are asked from another directory.
        let found = std::path::absolute(path).unwrap_or_default();
        let path = at_home(&found);
        let key = (rule.tool.to_string(), found.clone());
        if let Some(record) = self.records.get(&key)
            && record.round == self.round
            && record.probe == rule.probe
            && record.found.offered.program == program
        {
            if record.is_true(&path) {
                return Ok(record.found.clone());
            }
            // Nobody told (a hard link that is made elsewhere is no event here), and what was seen
            // first would count on: this tool would be asked anew each time.
            self.doubt();
        }
        let ask = Ask {
            rule,
            program: program.into(),
            found,
            path,
        };
        let mut results = self.probe_batch(&[ask], false);
        // One ask, one result.
        results.remove(0)
    }

    /// All tools along `path` that a rule covers, the first such rule for each name. Tools that
    /// cannot be probed are left out, with a line in the log.
    pub fn probe_all(&mut self, rules: &RuleSet, path: &OsStr) -> Vec<OfferedTool> {
        let found = self.find_all(rules, path, false).into_iter();
        found.map(|found| found.offered).collect()
    }

    /// The same; with `in_parts`, each with what it was told apart by.
    pub fn find_all(&mut self, rules: &RuleSet, path: &OsStr, in_parts: bool) -> Vec<Found> {
        self.path = path.into();
        let accepted = |name: &OsStr, found: &Path| {
            rules.rule_for(name).is_some_and(|rule| {
                let real = found.canonicalize().unwrap_or_default();
                !rule.is_masquerade(real.file_name().unwrap_or_default().as_bytes())
            })
        };
        let mut asks: Vec<Ask<'_>> = all_on_path(path, accepted)
            .into_iter()
            .filter_map(|(name, path)| {
                let rule = rules.rule_for(&name)?;
                // Names that are not text match no rule's program on another machine either.
                let program = name.into_string().ok()?;
                let found = std::path::absolute(path).ok()?;
                Some(Ask {
                    rule,
                    program,
                    path: at_home(&found),
                    found,
                })
            })
            .collect();
        let in_roots = rules.rules().filter(|rule| rule.covers_roots);
        asks.extend(in_roots.map(|rule| Ask {
            rule,
            program: ARCH.into(),
            found: PathBuf::new(),
            path: PathBuf::new(),
        }));
        self.doubt();
        let results = self.probe_batch(&asks, in_parts).into_iter();
        results
            .filter_map(|result| match result {
                Ok(found) => Some(found),
                Err(error) => {
                    tracing::warn!("no tool: {:#}", anyhow::Error::from(error));
                    None
                }
            })
            .collect()
    }

    /// Directories in which a change may mean that tools are others now: those along the search
    /// path, and all that were looked at since the last doubt.
    pub fn watched(&self) -> Vec<PathBuf> {
        self.watched.iter().cloned().collect()
    }

    /// How often it has looked at anything closer: as long as that is the same, nothing has come to
    /// what is to be watched.
    pub fn looks(&self) -> u64 {
        self.looks
    }

    fn probe_batch(&mut self, asks: &[Ask<'_>], in_parts: bool) -> Vec<Result<Found, ProbeError>> {
        self.looks += 1;
        let looked = now();
        for directory in &self.watched {
            self.seen.note(directory);
        }
        let asking = Asking {
            path: &self.path,
            limit: self.limit,
        };
        let gathered = gather_all(asks, asking);
        let found: Vec<&Evidence> = gathered
            .iter()
            .flatten()
            .map(|(_, evidence)| evidence)
            .collect();
        for dir in found.iter().flat_map(|evidence| &evidence.around) {
            self.seen.note(dir);
            self.watched.insert(dir.clone());
        }
        let needs = all_needs(&found, asking);
        let files = program_files(&found, &needs);
        for file in &files {
            self.seen.note(file);
        }
        // Hashed on all cores here; an error comes up again where the digest is needed.
        let digests = &self.digests;
        parallel::map(&files, 1, |file| digests.digest(file).is_ok());
        let mut forest = Forest::new(digests, &mut self.seen);
        let searched = found.iter().flat_map(|evidence| &evidence.searched);
        let searched: BTreeSet<&PathBuf> = searched.filter_map(|(_, path)| path.as_ref()).collect();
        // A directory that cannot be walked fails the tools that search it, below.
        let _ = forest.walk_all(searched.into_iter().cloned().collect());
        let mut sources = Sources {
            digests,
            forest: &mut forest,
            needs: &needs,
        };
        let mut results = Vec::new();
        let mut records = Vec::new();
        for (ask, gathered) in asks.iter().zip(gathered) {
            let result = gathered.and_then(|(resolved, evidence)| {
                let found = offer(ask, &evidence, &mut sources, in_parts)?;
                records.push((ask, found.clone(), resolved, evidence));
                Ok(found)
            });
            results.push(result);
        }
        let walked: Vec<PathBuf> = forest.directories().collect();
        let files = forest.files().to_vec();
        self.watched.extend(walked);
        self.watch_around(files.iter().chain(asks.iter().map(|ask| &ask.path)));
        // The links on the way to a tool may lead elsewhere tomorrow.
        let links = asks.iter().flat_map(|ask| hops::of(&ask.found));
        let links: Vec<PathBuf> = links.collect();
        self.watch_around(links.iter().chain(asks.iter().map(|ask| &ask.found)));
        for (ask, found, resolved, evidence) in records {
            let own = program_files(&[&evidence], &needs).into_iter();
            let stamps = own
                .map(|file| (file.clone(), self.seen.note(file)))
                .collect();
            self.remember(ask, found, resolved, stamps, looked);
        }
        self.save();
        results
    }

    fn watch_around<'p>(&mut self, files: impl Iterator<Item = &'p PathBuf>) {
        for directory in files.filter_map(|file| file.parent()) {
            self.seen.note(directory);
            self.watched.insert(directory.into());
        }
    }

    fn remember(
        &mut self,
        ask: &Ask<'_>,
        found: Found,
        resolved: PathBuf,
        stamps: Stamps,
        looked: Seconds,
    ) {
        self.watch_around(stamps.iter().map(|(file, _)| file));
        let key = (ask.rule.tool.to_string(), ask.found.clone());
        let settled = |stamp: &Option<Stamp>| stamp.is_some_and(|it| it.is_settled(looked));
        if !stamps.iter().all(|(_, stamp)| settled(stamp)) {
            // Too new to be told from its next version: looked at anew each time.
            self.records.remove(&key);
            return;
        }
        let record = Record {
            found,
            probe: ask.rule.probe.clone(),
            resolved,
            stamps,
            round: self.round,
        };
        self.records.insert(key, record);
    }

    fn save(&self) {
        if let Some(cache) = &self.cache
            && let Err(error) = self.digests.save(cache)
        {
            tracing::warn!("cannot keep digests in `{}`: {error}", cache.display());
        }
    }
}
