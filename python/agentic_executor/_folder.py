"""The temporary folder of a `CodeSandbox`: made at its first use, removed when the sandbox goes.

It holds `work`, the folder that code works in, and `packages`, what `install_package` put there; apart, since code
writes in the one and only reads the other.
"""

from __future__ import annotations

import os

from .errors import StateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import weakref

    from .sandbox import CodeSandbox, SandboxConfig


class Folder:
    """A private folder and what removes it."""

    def __init__(self, owner: CodeSandbox) -> None:
        import weakref

        self.path = make("agentic-sandbox-")
        os.mkdir(self.work)
        os.mkdir(self.packages)
        self.maker = os.getpid()
        # The owner's configuration is read at its end: `cleanup_on_exit` may change until then.
        self.finalizer: weakref.finalize[..., CodeSandbox] = weakref.finalize(
            owner, _remove, self.path, self.maker, owner.config
        )

    @property
    def work(self) -> str:
        """Where code works."""
        return os.path.join(self.path, "work")

    @property
    def packages(self) -> str:
        """What was installed."""
        return os.path.join(self.path, "packages")

    def has_packages(self) -> bool:
        """Whether anything was installed."""
        try:
            return bool(os.listdir(self.packages))
        except OSError:
            return False


def make(prefix: str) -> str:
    """A new private folder. Its path is resolved, for the same one is shown inside.

    Raises:
        StateError: there is no place for it.
    """
    import tempfile

    try:
        return os.path.realpath(tempfile.mkdtemp(prefix=prefix))
    except OSError as error:
        raise StateError(f"no temporary folder can be made: {error}") from error


def of(owner: CodeSandbox) -> Folder:
    """The sandbox's folder, made when there is none."""
    found = owner.__dict__.get("_folder")
    if isinstance(found, Folder):
        if os.path.isdir(found.work):
            return found
        # Whatever tidies up old temporary files was here. Another thread may have made a new one by now.
        known = owner.__dict__.pop("_folder", None)
        if known is not None and known is not found:
            other: Folder = owner.__dict__.setdefault("_folder", known)
            return other
        found.finalizer.detach()
    made = Folder(owner)
    # Two threads may come here at once; one of the folders stays.
    kept: Folder = owner.__dict__.setdefault("_folder", made)
    if kept is not made:
        made.finalizer.detach()
        _remove(made.path, made.maker, None)
    return kept


def existing(owner: CodeSandbox) -> Folder | None:
    """The sandbox's folder, when there is one."""
    return owner.__dict__.get("_folder")


def remove(owner: CodeSandbox) -> None:
    """Removes the folder."""
    folder: Folder | None = owner.__dict__.pop("_folder", None)
    if folder is not None:
        folder.finalizer.detach()
        _remove(folder.path, folder.maker, None)


def close(owner: CodeSandbox) -> None:
    """Ends the use of the folder: removes it, unless the configuration keeps it."""
    if owner.config.cleanup_on_exit:
        remove(owner)
        return
    folder: Folder | None = owner.__dict__.pop("_folder", None)
    if folder is not None:
        folder.finalizer.detach()


def _remove(path: str, maker: int, config: SandboxConfig | None) -> None:
    # A forked child has the sandbox, too, and must not take the folder from its parent.
    if os.getpid() != maker or (config is not None and not config.cleanup_on_exit):
        return
    remove_tree(path)


def remove_tree(path: str) -> None:
    """Removes a folder that code wrote in, as far as it can be. Links in it are not followed."""
    import shutil

    try:
        shutil.rmtree(path, ignore_errors=True)
    except RecursionError:  # it calls itself for each level
        pass
    if os.path.isdir(path):
        _remove_closed(path)


def _remove_closed(path: str) -> None:
    """The same where code has closed folders against writing or reading. Nobody else writes there any more."""
    folders, waiting = [], [path]
    while waiting:
        folder = waiting.pop()
        folders.append(folder)
        try:
            os.chmod(folder, 0o700)
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        os.unlink(entry.path)
        except OSError:
            pass  # what can be removed beside it still is
    for folder in reversed(folders):
        try:
            os.rmdir(folder)
        except OSError:
            pass
