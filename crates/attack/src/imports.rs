//! A program under an import policy: prepared by the library, as `agentic exec --block-import` does, since the policy is
//! the runtime's and not the sandbox's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use agentic_executor::config::{Budgets, Host, SandboxSettings};
use agentic_executor::runtime::exec::prepare;
use agentic_executor::runtime::{Language, Program, Request, Runtimes};
use agentic_executor::tools::Access;
use agentic_executor::{Config, Workspaces};
use agentic_sandbox::{Limits, Output, Sandbox, Spawner, Tier};

use crate::attempt::Setup;

/// Runs Python source in `workspace`, with `state` for the layers.
pub(crate) fn run(
    (sandbox, tier): (&Sandbox, Tier),
    setup: &Setup,
    limits: Limits,
    source: String,
    (workspace, state): (&Path, &Path),
) -> Result<Output, String> {
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let config = Config {
        workspace: workspace.to_owned(),
        state: state.to_owned(),
        // The sandbox is there already; nothing starts another.
        spawner: Spawner::CurrentExe,
        host: Host::default(),
        sandbox: SandboxSettings {
            blocked_imports: setup.blocked_imports.map(list).unwrap_or_default(),
            allowed_imports: setup.allowed_imports.map(list),
            tier,
            runtimes: BTreeMap::from([("python".to_owned(), PathBuf::from(crate::enclosure::PYTHON))]),
            ..SandboxSettings::default()
        },
        budgets: Budgets::default(),
    };
    let told = |error: &dyn std::error::Error| error.to_string();
    let workspaces = Workspaces::new(state, sandbox.clone()).map_err(|error| told(&error))?.with_tier(tier);
    let attempt = workspaces.open(&[workspace.to_owned()], Access::Write).map_err(|error| told(&error))?;
    let request = Request { limits, ..Request::new(Language::Python, Program::Code(source.into_bytes())) };
    let invocation = prepare(&Runtimes::new(), sandbox, &config, &request, &attempt).map_err(|error| told(&error))?;
    invocation.command.output(sandbox).map_err(|error| told(&error))
}
