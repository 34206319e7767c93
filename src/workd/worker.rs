//! The worker itself: what it was told on its command line, what it offers, and what its sessions
//! share.

use super::drain::ENDING;
use super::health::Health;
use super::heard::Heard;
use super::hours::IN_USE;
use super::mirror::Room;
use super::scratch::{self, Cleaner};
use super::trial;
use super::turns::Turns;
use super::warm::Warm;
use crate::rules::RuleSet;
use crate::slots::Slots;
use crate::wire::messages::{Offer, OfferedTool, ViewKind};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::{Mutex, watch};

/// Finds the pod's tools.
#[derive(Clone)]
pub struct FindTools {
    /// Called at start and whenever they may have changed; may take seconds.
    pub find: Arc<dyn Fn() -> Vec<OfferedTool> + Send + Sync>,
    /// Directories in which a change means that they may have changed.
    pub watched: Arc<dyn Fn() -> Vec<PathBuf> + Send + Sync>,
    /// Whether all that was looked at is as it was, for sure.
    pub unchanged: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Whether all files of the tools that were found are as they were, for sure. Answers at once,
    /// so that it says no while they are being looked at.
    pub files_unchanged: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl FindTools {
    /// Always the same.
    pub fn fixed(tools: Vec<OfferedTool>) -> Self {
        Self {
            find: Arc::new(move || tools.clone()),
            watched: Arc::new(Vec::new),
            unchanged: Arc::new(|| true),
            files_unchanged: Arc::new(|| true),
        }
    }

    /// Only those that pass.
    #[must_use]
    pub fn only(self, passes: impl Fn(&OfferedTool) -> bool + Send + Sync + 'static) -> Self {
        let find = self.find;
        let find = move || {
            let mut tools = find();
            tools.retain(&passes);
            tools
        };
        Self {
            find: Arc::new(find),
            ..self
        }
    }
}

/// Whether a person uses the machine now.
pub type IsInUse = Rc<dyn Fn() -> bool>;

/// Which view to build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ViewChoice {
    /// Overlay if this machine can, else rewrite.
    #[default]
    Auto,
    /// Overlay or nothing.
    Overlay,
    /// Rewrite.
    Rewrite,
}

/// Where jobs' own files lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ScratchChoice {
    /// In memory if this machine can, else on disk.
    #[default]
    Auto,
    /// In a tmpfs for each job.
    Memory,
    /// In the cache folder.
    Disk,
}

/// What a worker is told.
#[derive(Clone)]
pub struct Config {
    /// The pod's own name.
    pub name: String,
    /// Jobs at a time.
    pub slots: u32,
    /// The folder for what it needs on disk.
    pub cache: PathBuf,
    /// Which view.
    pub view: ViewChoice,
    /// Where jobs' files lie.
    pub scratch: ScratchChoice,
    /// Runs jobs without any sandbox.
    pub unsandboxed: bool,
    /// Read-only directories shown to jobs beside the usual ones.
    pub system: Vec<PathBuf>,
    /// The program to start as warden, which calls [`super::take_over`] first: usually
    /// `/proc/self/exe`.
    pub warden: PathBuf,
    /// Finds the tools.
    pub tools: FindTools,
    /// What is known of tools.
    pub rules: Arc<RuleSet>,
    /// What this worker shares with everything else that runs jobs on this machine.
    pub machine_slots: Option<&'static Slots>,
    /// Whoever opens a file whose content is not here waits no longer than that, if set.
    pub late_after: Option<std::time::Duration>,
    /// Bytes that all mirrors may hold.
    pub mirror_bytes: u64,
    /// Asked now and then, if no slots shall be offered while it is so.
    pub in_use: Option<IsInUse>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("name", &self.name)
            .field("slots", &self.slots)
            .field("cache", &self.cache)
            .field("view", &self.view)
            .field("unsandboxed", &self.unsandboxed)
            .finish_non_exhaustive()
    }
}

/// A running worker; its sessions share it. To be used on one thread, inside a
/// [`tokio::task::LocalSet`].
#[derive(Debug)]
pub struct Worker {
    pub(crate) config: Config,
    pub(crate) turns: Rc<Turns>,
    /// One job at a time asks for a slot that other workers may want: asking costs system calls.
    pub(crate) asking: Mutex<()>,
    pub(crate) cleaner: Cleaner,
    pub(crate) health: Health,
    pub(crate) heard: Heard,
    pub(crate) warm: Warm,
    pub(crate) offer: watch::Sender<Offer>,
    /// Whether what it offers is known yet.
    looked: watch::Sender<bool>,
    /// Whether a person was there when last looked.
    in_use: Cell<bool>,
    /// Whether it takes no more jobs, and ends after those that there are.
    ending: Cell<bool>,
    /// Why not a better view.
    view_why: RefCell<String>,
}

impl Worker {
    /// Sweeps the cache folder. What the worker offers is not known before [`Self::refresh`].
    ///
    /// # Errors
    /// The cache folder cannot be used.
    pub fn open(config: Config) -> io::Result<Rc<Self>> {
        let folder = config.cache.clone();
        std::fs::create_dir_all(&folder)
            .map_err(|e| io::Error::new(e.kind(), format!("make `{}`: {e}", folder.display())))?;
        scratch::sweep(&config.cache);
        Room::new(&config.cache, config.mirror_bytes).tidy_aside();
        Ok(Rc::new(Self {
            turns: Turns::of(config.slots),
            asking: Mutex::default(),
            cleaner: Cleaner::start()?,
            health: Health::new(),
            heard: Heard::default(),
            warm: Warm::open(&config.cache)?,
            offer: watch::Sender::default(),
            in_use: Cell::new(config.in_use.as_ref().is_some_and(|ask| ask())),
            ending: Cell::new(false),
            view_why: RefCell::default(),
            looked: watch::Sender::default(),
            config,
        }))
    }

    /// What it offers now.
    pub fn offer(&self) -> Offer {
        self.offer.borrow().clone()
    }

    /// What its mirrors may take.
    pub(crate) fn room(&self) -> Room {
        Room::new(&self.config.cache, self.config.mirror_bytes)
    }

    /// Until what it offers is known for the first time.
    pub(crate) async fn looked(&self) {
        // The sender is ours, so it is there.
        let _ = self.looked.subscribe().wait_for(|looked| *looked).await;
    }

    /// Finds the tools, and proves which view this machine can build, by building it and compiling
    /// in it; tells all hubs.
    pub async fn refresh(self: &Rc<Self>) {
        let changes = self.heard.changes();
        let find = Arc::clone(&self.config.tools.find);
        let tools = tokio::task::spawn_blocking(move || find()).await;
        let tools = tools.unwrap_or_else(|error| {
            tracing::error!(%error, "looking for tools failed");
            Vec::new()
        });
        let (view, view_why) = match trial::prove(self, &tools).await {
            Ok((kind, why)) => (kind, why),
            Err(why) => (ViewKind::None, why),
        };
        tracing::info!(?view, why = view_why, tools = tools.len(), "ready");
        self.view_why.replace(view_why);
        let name = self.config.name.clone();
        let machine = std::env::consts::ARCH.into();
        self.heard.is_offered(changes);
        self.tell(Offer {
            name,
            machine,
            view,
            tools,
            ..Offer::default()
        });
        self.looked.send_replace(true);
    }

    /// Looks whether a person uses the machine, and tells all hubs if that has changed.
    pub(super) fn look_who_is_there(&self) {
        let in_use = self.config.in_use.as_ref().is_some_and(|ask| ask());
        if self.in_use.replace(in_use) != in_use {
            tracing::info!(in_use, "whether a person uses this machine");
            self.tell(self.offer());
        }
    }

    /// Tells all hubs that there is no room until the tools have been looked at.
    pub(super) fn tell_doubt(&self) {
        self.tell(self.offer());
    }

    /// Tells all hubs that there is no room from now on.
    pub(super) fn take_no_more(&self) {
        self.ending.set(true);
        self.tell(self.offer());
    }

    /// Offers this, with as many slots as there are now.
    fn tell(&self, mut offer: Offer) {
        (offer.slots, offer.view_why) = if self.ending.get() {
            (0, ENDING.into())
        } else if self.in_use.get() {
            (0, IN_USE.into())
        } else if self.heard.is_in_doubt() {
            (0, "its tools have changed: looking again".into())
        } else {
            (self.config.slots, self.view_why.borrow().clone())
        };
        self.offer.send_if_modified(|known| {
            let is_new = *known != offer;
            *known = offer;
            is_new
        });
    }
}
