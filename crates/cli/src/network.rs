//! The network allow-list as it is typed: rules and secrets made into an [`Access`].

use std::ffi::OsStr;
use std::path::PathBuf;

use agentic_proxy::{Access, SecretSource, SecretSpec};

use crate::error::{Failure, Result};
use crate::settings::Surroundings;

/// The rules, with the values of secrets read from where they are.
pub(crate) fn access(
    allow: &[String],
    terminate: &[String],
    secrets: &[String],
    trust_ca: Option<PathBuf>,
    bytes: Option<u64>,
    found: &Surroundings,
) -> Result<Access> {
    let refuse = |flag: &str, error: agentic_proxy::RuleError| Failure::bad_input(format!("{flag}: {error}"));
    let mut access = Access::default();
    for text in allow {
        access.allow.push(text.parse().map_err(|error| refuse("--allow-net", error))?);
    }
    for text in terminate {
        access.terminate.push(text.parse().map_err(|error| refuse("--tls-terminate", error))?);
    }
    for text in secrets {
        let spec: SecretSpec = text.parse().map_err(|error| refuse("--secret", error))?;
        let value = value(&spec, found)?;
        access.secrets.push(spec.with_value(&value).map_err(|error| refuse("--secret", error))?);
    }
    if let Some(path) = trust_ca {
        std::fs::File::open(&path).map_err(|error| {
            Failure::bad_input(format!("failed to read the certificates of --trust-ca {}: {error}", path.display()))
        })?;
        access.extra_roots = Some(path);
    }
    if let Some(bytes) = bytes {
        access.budget.bytes = bytes;
    }
    Ok(access)
}

fn value(spec: &SecretSpec, found: &Surroundings) -> Result<String> {
    let of = format!("the secret for {} ({})", spec.scope, spec.header);
    match &spec.source {
        SecretSource::Variable(name) => {
            let value = found.host.env.get(OsStr::new(name)).ok_or_else(|| {
                Failure::bad_input(format!("{of} is to be in the environment variable {name}, which is not set"))
            })?;
            value.to_str().map(str::to_owned).ok_or_else(|| Failure::bad_input(format!("{of} is not UTF-8")))
        }
        SecretSource::File(path) => {
            let fail = |why: String| Failure::bad_input(format!("failed to read {of} in {}: {why}", path.display()));
            let metadata = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?;
            if !metadata.is_file() || metadata.len() > 16 << 10 {
                return Err(fail("it is no file of at most 16 KiB".into()));
            }
            std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))
        }
    }
}
