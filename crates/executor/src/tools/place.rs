//! From a path that somebody typed to a place beneath a workspace root.
//!
//! [`Places`] is what the file tools look paths up with: it resolves against the workspace, asks the attempt for
//! the root that holds the path, and checks a tool's own allowed folders. The bytes are reached only through the
//! [`Dir`] of the [`Place`] it returns, so nothing here is a boundary of its own.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use serde_json::Value;

use super::validate::{ArgumentError, lexical, resolve_path};
use super::{ToolContext, ToolResult};
use crate::cause::Cause;
use crate::workspace::{Dir, FileKind, Metadata, WorkspaceError};

/// Folders a tool keeps to; `None` means the workspace. Can be changed while the tool is in use.
#[derive(Debug, Default)]
pub(crate) struct Folders(RwLock<Option<Vec<PathBuf>>>);

impl Folders {
    pub(crate) fn get(&self) -> Option<Vec<PathBuf>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
    pub(crate) fn set(&self, folders: Option<Vec<PathBuf>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = folders;
    }
}

type Found<'a> = Result<Option<(&'a Dir, PathBuf)>, WorkspaceError>;

/// Where a call may look.
pub(crate) struct Places<'a> {
    locate: Box<dyn Fn(&Path) -> Found<'a> + Send + Sync + 'a>,
    workspace: &'a Path,
    allowed: Option<Vec<PathBuf>>,
}

/// A path beneath a workspace root.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    /// The root.
    pub(crate) dir: &'a Dir,
    /// The path beneath it; empty for the root itself.
    pub(crate) rel: PathBuf,
    /// The path as the user knows it: relative where it was typed so.
    pub(crate) shown: PathBuf,
}

impl<'a> Places<'a> {
    pub(crate) fn new(context: &ToolContext<'a>, allowed: &Folders) -> Self {
        let attempt = context.attempt;
        Self {
            locate: Box::new(move |path| attempt.locate(path)),
            workspace: &context.config.workspace,
            allowed: allowed.get().map(|folders| folders.iter().map(|f| context.config.workspace.join(f)).collect()),
        }
    }

    /// One root and nothing else.
    #[cfg(test)]
    pub(crate) fn over(dir: &'a Dir, allowed: Option<Vec<PathBuf>>) -> Self {
        let locate = move |path: &Path| Ok(path.strip_prefix(dir.path()).ok().map(|rel| (dir, rel.to_owned())));
        Self { locate: Box::new(locate), workspace: dir.path(), allowed }
    }

    /// The folders to look in when a call names none: the allowed ones, else the workspace.
    pub(crate) fn defaults(&self) -> Result<Vec<Place<'a>>, ToolResult> {
        match &self.allowed {
            None => Ok(vec![self.find(".", "/path")?]),
            Some(folders) => {
                let shown = |folder: &Path| folder.strip_prefix(self.workspace).unwrap_or(folder).to_owned();
                folders.iter().map(|folder| self.at(&lexical(folder), shown(folder))).collect()
            }
        }
    }

    /// The place that `typed` names. `pointer` is the argument it came in.
    pub(crate) fn find(&self, typed: &str, pointer: &str) -> Result<Place<'a>, ToolResult> {
        if typed.is_empty() {
            return Err(ArgumentError::invalid(pointer, "a path", &Value::from(typed)).into());
        }
        if typed.contains('\0') {
            return Err(ArgumentError::invalid(pointer, "a path without NUL bytes", &Value::from(typed)).into());
        }
        let typed = Path::new(typed);
        let absolute = resolve_path(self.workspace, typed);
        let shown = if typed.is_absolute() { typed.to_owned() } else { lexical(typed) };
        self.at(&absolute, shown)
    }

    fn at(&self, absolute: &Path, shown: PathBuf) -> Result<Place<'a>, ToolResult> {
        let located = (self.locate)(absolute).map_err(|error| {
            ToolResult::failure(Cause::Internal, format!("failed to open {}: {error}", shown.display()))
        })?;
        let Some((dir, rel)) = located else { return Err(self.outside(&shown)) };
        let place = Place { dir, rel, shown };
        if !self.allows(&place)? {
            return Err(self.outside(&place.shown));
        }
        Ok(place)
    }

    fn outside(&self, shown: &Path) -> ToolResult {
        let allowed = match &self.allowed {
            None => self.workspace.display().to_string(),
            Some(folders) if folders.is_empty() => "none".into(),
            Some(folders) => folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", "),
        };
        let message = format!("Access denied: {} is outside the allowed paths ({allowed})", shown.display());
        ToolResult::failure(Cause::PermissionDenied, message)
    }

    /// Containment by resolved path: what the kernel finds behind every link, or would create.
    fn allows(&self, place: &Place<'a>) -> Result<bool, ToolResult> {
        let Some(folders) = &self.allowed else { return Ok(true) };
        let real = place.real().map_err(|error| place.failed("resolve", &error))?;
        for folder in folders {
            let Ok(Some((dir, rel))) = (self.locate)(&lexical(folder)) else { continue };
            let Ok(folder) = dir.resolve(&rel) else { continue };
            if dir.path() == place.dir.path() && real.starts_with(folder) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl<'a> Place<'a> {
    /// The path with links followed; of what does not exist yet, the part that does.
    fn real(&self) -> io::Result<PathBuf> {
        let mut head = self.rel.as_path();
        let mut tail: Vec<&OsStr> = Vec::new();
        loop {
            match self.dir.resolve(head) {
                Ok(mut real) => {
                    real.extend(tail.iter().rev());
                    return Ok(real);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let (Some(name), Some(parent)) = (head.file_name(), head.parent()) else { return Err(error) };
                    tail.push(name);
                    head = parent;
                }
                Err(error) => return Err(error),
            }
        }
    }
    /// What is there, links followed.
    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        self.dir.metadata(&self.dir.resolve(&self.rel)?)
    }
    /// What is there, when it is a regular file.
    pub(crate) fn file(&self) -> Result<Metadata, ToolResult> {
        let metadata = self.metadata().map_err(|error| self.failed("read", &error))?;
        let shown = self.shown.display();
        match metadata.kind {
            FileKind::File => Ok(metadata),
            FileKind::Dir => Err(ArgumentError::refused(
                "/path",
                "a file",
                format!("{shown} is a folder, not a file; list_files shows what is in it"),
            )
            .into()),
            kind => {
                Err(ArgumentError::refused("/path", "a file", format!("{shown} is {kind}, not a regular file")).into())
            }
        }
    }
    /// A name in this folder.
    pub(crate) fn join(&self, below: &Path) -> PathBuf {
        if self.shown == Path::new(".") || self.shown.as_os_str().is_empty() {
            below.to_owned()
        } else {
            self.shown.join(below)
        }
    }
    /// The path as text.
    pub(crate) fn text(&self) -> String {
        if self.shown.as_os_str().is_empty() { ".".into() } else { self.shown.display().to_string() }
    }
    /// What a failed file operation is for the caller.
    pub(crate) fn failed(&self, action: &str, error: &io::Error) -> ToolResult {
        failed(action, &self.text(), error)
    }
}

fn failed(action: &str, shown: &str, error: &io::Error) -> ToolResult {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::NotFound => ToolResult::failure(Cause::NotFound, format!("File not found: {shown}")),
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => {
            ToolResult::failure(Cause::PermissionDenied, format!("Access denied: failed to {action} {shown}: {error}"))
        }
        Kind::StorageFull | Kind::QuotaExceeded => {
            ToolResult::failure(Cause::DiskFull, format!("failed to {action} {shown}: {error}"))
        }
        Kind::IsADirectory | Kind::NotADirectory | Kind::InvalidFilename | Kind::InvalidInput => {
            ArgumentError::refused("/path", "a file", format!("failed to {action} {shown}: {error}")).into()
        }
        _ => ToolResult::failure(Cause::Failed, format!("failed to {action} {shown}: {error}")),
    }
}

/// The key under which calls that write the same path wait for each other.
pub(crate) fn write_key(path: &Path) -> String {
    format!("path:{}", lexical(path).display())
}

/// A folder of its own for a test, and the places in it.
#[cfg(test)]
pub(crate) mod testing {
    use std::path::{Path, PathBuf};

    use serde_json::Value;

    use super::Places;
    use crate::cancel::Cancel;
    use crate::tools::{ToolCall, ToolResult};
    use crate::workspace::Dir;

    pub(crate) struct Folder {
        temp: tempfile::TempDir,
        dir: Dir,
        pub(crate) cancel: Cancel,
    }

    impl Folder {
        pub(crate) fn new() -> Self {
            let temp = tempfile::tempdir().unwrap();
            let dir = Dir::open_root(temp.path()).unwrap();
            Self { temp, dir, cancel: Cancel::new() }
        }
        pub(crate) fn with(files: &[(&str, &[u8])]) -> Self {
            let folder = Self::new();
            for (path, bytes) in files {
                folder.put(path, bytes);
            }
            folder
        }
        pub(crate) fn path(&self) -> &Path {
            self.temp.path()
        }
        pub(crate) fn put(&self, path: &str, bytes: &[u8]) -> PathBuf {
            let path = self.temp.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, bytes).unwrap();
            path
        }
        pub(crate) fn bytes(&self, path: &str) -> Vec<u8> {
            std::fs::read(self.temp.path().join(path)).unwrap()
        }
        pub(crate) fn places(&self) -> Places<'_> {
            Places::over(&self.dir, None)
        }
        pub(crate) fn only(&self, folders: &[&str]) -> Places<'_> {
            Places::over(&self.dir, Some(folders.iter().map(|folder| self.temp.path().join(folder)).collect()))
        }
    }

    pub(crate) fn call(tool: &str, params: Value) -> ToolCall {
        ToolCall::new(tool, params.as_object().unwrap().clone())
    }

    /// The error of a refusal and the place it points at.
    #[track_caller]
    pub(crate) fn refusal(result: Result<ToolResult, ToolResult>) -> (String, String) {
        let failure = result.expect_err("it is refused");
        let pointer = failure.metadata.get("pointer").and_then(Value::as_str).unwrap_or("-").to_owned();
        (failure.error.unwrap(), pointer)
    }
}
