//! `cpods doctor`: looks at this machine as a hub and at its pods, and says what is wrong and what
//! to do.

mod hub;
mod pod;
mod sheet;
mod tools;

use super::cli::Doctor;
use super::show;
use crate::rules::RuleSet;
use crate::schedd::{self, HubFile, PodConfig, Reach};
use crate::wire::messages::Files;
use crate::workd::report::{ReportedTool, find_tools};
use sheet::Sheet;
use std::process::ExitCode;

/// What is known of this machine once it was looked at.
struct Here {
    file: HubFile,
    reach: Reach,
    rules: RuleSet,
    roots: Option<crate::paths::Roots>,
    tools: Vec<ReportedTool>,
}

pub(super) fn doctor(args: &Doctor) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    let well = local.block_on(&runtime, examine(args))?;
    Ok(match well {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Whether nothing failed.
async fn examine(args: &Doctor) -> anyhow::Result<bool> {
    let mut sheet = Sheet::begin("this machine");
    let file = hub::file(&mut sheet, args.config.as_deref());
    let pods = pods(args, &file)?;
    let rules = hub::rules(&mut sheet);
    let roots = hub::roots(&mut sheet, &file);
    let reach = hub::reach(&file)?;
    let needs_ssh = pods.iter().any(|pod| !is_here(pod));
    if needs_ssh {
        let mounts = pods.iter().any(|pod| pod.files == Some(Files::Sshfs));
        hub::programs(&mut sheet, &reach);
        hub::workers(&mut sheet);
        hub::jail(&mut sheet, &file, roots.as_ref(), mounts).await;
    }
    let tools = find_tools(&rules).into_iter().map(ReportedTool::of);
    let here = Here {
        tools: tools.collect(),
        file,
        reach,
        rules,
        roots,
    };
    hub::tools(&mut sheet, &here);
    if pods.is_empty() {
        sheet.warn("pods", "there are none; name one, or put it into hub.toml");
    }
    let mut well = sheet.end();
    for pod in &pods {
        println!();
        let mut sheet = Sheet::begin(&format!("pod {} ({})", pod.name, pod.address));
        pod::examine(&mut sheet, &here, pod).await;
        well &= sheet.end();
    }
    Ok(well)
}

/// Whether nothing is copied there and nothing mounted.
fn is_here(pod: &PodConfig) -> bool {
    !matches!(pod.address, schedd::Address::Ssh(_))
}

/// The pods to look at: the one that was named, or all of the running hub, or all in the file.
fn pods(args: &Doctor, file: &HubFile) -> anyhow::Result<Vec<PodConfig>> {
    let mut known = file.pods.clone();
    if args.config.is_none()
        && let Ok(status) = show::ask()
    {
        let named = status.pods.iter().filter_map(|pod| {
            let own = pod.address == schedd::Address::Own.to_string();
            let text = match own {
                true => schedd::OWN_POD.to_owned(),
                false => format!("{}={}", pod.name, pod.address),
            };
            let parsed: PodConfig = text.parse().ok()?;
            // The file knows more of it.
            let same = |it: &&PodConfig| it.name == pod.name && it.address == parsed.address;
            Some(file.pods.iter().find(same).cloned().unwrap_or(parsed))
        });
        known = named.collect();
    }
    let Some(name) = &args.pod else {
        return Ok(known);
    };
    let configured = known.into_iter().chain(file.pods.iter().cloned());
    let found = configured.into_iter().find(|pod| pod.name == *name);
    Ok(vec![match found {
        Some(pod) => pod,
        None => name.parse()?,
    }])
}
