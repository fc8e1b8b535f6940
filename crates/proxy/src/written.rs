//! The allow-list as an operator writes it, on a command line, in a settings file or in a Python program, made into an
//! [`Access`]. One decision: front ends share this reading, so that a rule means the same wherever it stands; each
//! names the field in its own way.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::rules::{Access, SecretSource, SecretSpec};

/// The largest file of a secret.
const LARGEST_SECRET: u64 = 16 << 10;

/// Rules and secrets as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// [`crate::AllowRule`]s.
    pub allow_net: Vec<String>,
    /// [`crate::HostPattern`]s.
    pub tls_terminate: Vec<String>,
    /// [`SecretSpec`]s.
    pub secrets: Vec<String>,
    /// A file of certificates (PEM).
    pub trust_ca: Option<PathBuf>,
    /// Bytes in both directions. Default 1 GiB.
    pub bytes: Option<u64>,
}

/// What of it cannot be meant, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", .field.name())]
pub struct WrittenError {
    /// Where it stands.
    pub field: Field,
    /// What is wrong.
    pub why: String,
}

/// A field of [`Written`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `allow_net`.
    AllowNet,
    /// `tls_terminate`.
    TlsTerminate,
    /// `secrets`.
    Secrets,
    /// `trust_ca`.
    TrustCa,
}

impl Field {
    /// Its name in settings and in Python.
    pub fn name(self) -> &'static str {
        match self {
            Self::AllowNet => "allow_net",
            Self::TlsTerminate => "tls_terminate",
            Self::Secrets => "secrets",
            Self::TrustCa => "trust_ca",
        }
    }
    /// Its flag.
    pub fn flag(self) -> &'static str {
        match self {
            Self::AllowNet => "--allow-net",
            Self::TlsTerminate => "--tls-terminate",
            Self::Secrets => "--secret",
            Self::TrustCa => "--trust-ca",
        }
    }
    fn wrong(self, why: impl ToString) -> WrittenError {
        WrittenError { field: self, why: why.to_string() }
    }
}

impl Written {
    /// The rules, with the values of secrets from where they are: `env` is the operator's environment.
    ///
    /// # Errors
    /// A field that cannot be meant, a secret that is not there, a file of certificates that holds none, rules that
    /// contradict each other ([`Access::validate`]).
    pub fn read(&self, env: &BTreeMap<OsString, OsString>) -> Result<Access, WrittenError> {
        let mut access = Access::default();
        for text in &self.allow_net {
            access.allow.push(text.parse().map_err(|error| Field::AllowNet.wrong(error))?);
        }
        for text in &self.tls_terminate {
            access.terminate.push(text.parse().map_err(|error| Field::TlsTerminate.wrong(error))?);
        }
        for text in &self.secrets {
            let spec: SecretSpec = text.parse().map_err(|error| Field::Secrets.wrong(error))?;
            let value = value(&spec, env).map_err(|why| Field::Secrets.wrong(why))?;
            access.secrets.push(spec.with_value(&value).map_err(|error| Field::Secrets.wrong(error))?);
        }
        if let Some(path) = &self.trust_ca {
            let wrong = |why: String| Field::TrustCa.wrong(format!("{}: {why}", path.display()));
            let pem = std::fs::read(path).map_err(|error| wrong(format!("failed to read it: {error}")))?;
            if CertificateDer::pem_slice_iter(&pem).flatten().next().is_none() {
                return Err(wrong("it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".into()));
            }
            access.extra_roots = Some(path.clone());
        }
        if let Some(bytes) = self.bytes {
            access.budget.bytes = bytes;
        }
        access.check().map_err(|(field, error)| field.wrong(error))?;
        Ok(access)
    }
    /// The first field that says something about hosts that are allowed, where none is.
    pub fn without_hosts(&self) -> Option<Field> {
        let said = [
            (Field::Secrets, !self.secrets.is_empty()),
            (Field::TlsTerminate, !self.tls_terminate.is_empty()),
            (Field::TrustCa, self.trust_ca.is_some()),
        ];
        said.into_iter().filter(|_| self.allow_net.is_empty()).find(|(_, given)| *given).map(|(field, _)| field)
    }
}

fn value(spec: &SecretSpec, env: &BTreeMap<OsString, OsString>) -> Result<String, String> {
    let of = format!("the secret for {} ({})", spec.scope, spec.header);
    match &spec.source {
        SecretSource::Variable(name) => {
            let value = env.get(OsStr::new(name));
            let value =
                value.ok_or_else(|| format!("{of} is to be in the environment variable {name}, which is not set"))?;
            value.to_str().map(str::to_owned).ok_or_else(|| format!("{of} is not UTF-8"))
        }
        SecretSource::File(path) => {
            let fail = |why: String| format!("failed to read {of} in {}: {why}", path.display());
            let metadata = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?;
            if !metadata.is_file() || metadata.len() > LARGEST_SECRET {
                return Err(fail("it is no file of at most 16 KiB".into()));
            }
            std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(written: &Written) -> Result<Access, String> {
        let env = BTreeMap::from([("TOKEN".into(), "hunter22".into()), ("EMPTY".into(), "".into())]);
        written.read(&env).map_err(|error| error.to_string())
    }

    fn list(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn each_field_is_read_and_blamed_by_its_name() {
        let good = Written {
            allow_net: list(&["api.test", "*.pack.test:8443"]),
            tls_terminate: list(&["api.test"]),
            secrets: list(&["X-Key=env:TOKEN@api.test/v1"]),
            bytes: Some(10),
            ..Written::default()
        };
        let access = read(&good).unwrap();
        assert_eq!((access.allow.len(), access.terminate.len(), access.secrets.len()), (2, 1, 1));
        assert_eq!(access.budget.bytes, 10);
        let folder = tempfile::tempdir().unwrap();
        let (none, secret) = (folder.path().join("none.pem"), folder.path().join("secret"));
        std::fs::write(&none, "no certificate\n").unwrap();
        std::fs::write(&secret, "hunter22\n").unwrap();
        let file = format!("X-Key=file:{}@api.test/v1", secret.display());
        assert!(read(&Written { secrets: vec![file], ..good.clone() }).is_ok());
        let secrets = |text: &str| Written { secrets: list(&[text]), ..good.clone() };
        for (written, why) in [
            (Written { allow_net: list(&["https://api.test"]), ..good.clone() }, "allow_net: `https://api.test`"),
            (Written { tls_terminate: list(&["*"]), ..good.clone() }, "tls_terminate: `*`"),
            (Written { tls_terminate: list(&["api.test", "b.test"]), ..good.clone() }, "tls_terminate: `b.test`"),
            (secrets("X-Key=env:ABSENT@api.test"), "secrets: the secret for https://api.test:443/ (x-key) is to be in"),
            (secrets("X-Key=env:EMPTY@api.test"), "its value is empty"),
            (secrets("X-Key=file:/nowhere/at/all@api.test"), "failed to read the secret"),
            (secrets("X-Key=file:/@api.test"), "it is no file"),
            (secrets("X-Key=env:TOKEN@b.test"), "secrets: `x-key=…@https://b.test:443/`: b.test:443 is not allowed"),
            (secrets("X-Key=env:TOKEN@*.pack.test"), "secrets: "),
            (Written { trust_ca: Some(none), ..good.clone() }, "it holds no certificate"),
            (Written { trust_ca: Some("/nowhere/at/all".into()), ..good.clone() }, "trust_ca: /nowhere/at/all: failed"),
        ] {
            let error = read(&written).unwrap_err();
            assert!(error.contains(why) && !error.contains("hunter22"), "{error}");
        }
    }

    #[test]
    fn what_is_said_about_hosts_needs_one() {
        assert_eq!(Written { trust_ca: Some("a".into()), ..Written::default() }.without_hosts(), Some(Field::TrustCa));
        assert_eq!(Written { secrets: list(&["a"]), ..Written::default() }.without_hosts(), Some(Field::Secrets));
        let allowed = Written { allow_net: list(&["a.test"]), secrets: list(&["a"]), ..Written::default() };
        assert_eq!((allowed.without_hosts(), Written::default().without_hosts()), (None, None));
    }
}
