//! What the guardian may reach of the files it can see, and which TCP ports.
//!
//! Egress is closed here and not by a packet filter: the kernel has none, and there is one program that has a network at all.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use measured_init::config::Network;

use crate::fatal::{Fatal, OrFatal};
use crate::report_entry::ENTRY;

/// Linux 6.12 has this; less would let something through, so it is refused.
const REQUIRED: ABI = ABI::V6;

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("rules: {0}")]
    Rules(#[from] landlock::RulesetError),
    #[error("path: {0}")]
    Path(#[from] landlock::PathFdError),
}

/// Restricts this process, which is about to run `program`.
pub(super) fn restrict(network: &Network, program: &str) -> Result<(), Fatal> {
    let status = rules(network, program).fatal("sandbox", "landlock")?;
    if status != RulesetStatus::FullyEnforced {
        return Err(Fatal { code: "sandbox", text: "landlock is not fully enforced".into() });
    }
    Ok(())
}

fn rules(network: &Network, program: &str) -> Result<RulesetStatus, Refusal> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    let scratch = read
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSock
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(REQUIRED))?
        .handle_access(AccessNet::from_all(REQUIRED))?
        .scope(Scope::from_all(REQUIRED))?
        .create()?;
    for (path, access) in
        [("/", read), ("/tmp", scratch), ("/dev", device), (program, AccessFs::ReadFile | AccessFs::Execute)]
    {
        ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(path)?, access))?;
    }
    if Path::new(ENTRY).exists() {
        let entry = AccessFs::ReadFile | AccessFs::WriteFile;
        ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(ENTRY)?, entry))?;
    }
    for port in &network.listen_ports {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    for port in &network.connect_ports {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    Ok(ruleset.restrict_self()?.ruleset)
}
