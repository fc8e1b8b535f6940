"""`CodeSandbox.install_package`: pip, run in the sandbox, with what the host's pip is told about its index.

pip's own configuration files are not shown to the run. What they and the environment say about where packages come
from (index, proxy, certificates) is handed over as `PIP_*` variables; where they would put packages is not.
"""

from __future__ import annotations

import os
import re

from . import _folder
from ._checks import seconds, text
from ._sandbox_run import run, settings
from .errors import InvalidValueError
from .sandbox import SandboxResult, SandboxStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .sandbox import CodeSandbox

_LONGEST = 1000
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_VERSION = r"(?:===|~=|==|!=|<=|>=|<|>)\s*[A-Za-z0-9.!+*_-]+"
_REQUIREMENT = re.compile(
    rf"\s*{_NAME}\s*"
    rf"(?:\[\s*{_NAME}(?:\s*,\s*{_NAME})*\s*\]\s*)?"
    rf"(?:{_VERSION}(?:\s*,\s*{_VERSION})*|\(\s*{_VERSION}(?:\s*,\s*{_VERSION})*\s*\))?\s*"
)
# pip would take such a name for a file, where there is one.
_ARCHIVES = (".zip", ".whl", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tlz", ".tar.lz")

# A build of a package takes more than a snippet of code.
_LEAST_MEMORY_MB = 1024
_LEAST_DISK_MB = 2048
_LEAST_PROCESSES = 128
_DAY = 86_400

# What pip's configuration says about where packages come from. The value is a path for the last two.
_OPTIONS = ("index-url", "extra-index-url", "no-index", "find-links", "trusted-host", "proxy", "timeout", "retries")
_PATH_OPTIONS = ("cert", "client-cert")
# Of `PIP_*`, what says where packages go, or which; that is decided here.
_NOT_PASSED = (
    "PIP_TARGET PIP_USER PIP_PREFIX PIP_ROOT PIP_SRC PIP_LOG PIP_CACHE_DIR PIP_CONFIG_FILE PIP_REQUIREMENT "
    "PIP_EDITABLE PIP_CONSTRAINT PIP_BUILD_CONSTRAINT PIP_REQUIRE_VIRTUALENV PIP_PYTHON PIP_REPORT PIP_DRY_RUN "
    "PIP_KEYRING_PROVIDER"
).split()
_NETWORK = (
    "HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy "
    "SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE"
).split()
_PATH_VARIABLES = "SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE PIP_CERT PIP_CLIENT_CERT".split()
_URL_VARIABLES = "PIP_FIND_LINKS PIP_INDEX_URL PIP_EXTRA_INDEX_URL".split()

_PIP = """\
import sys
sys.path[:] = [entry for entry in sys.path if entry]
import runpy
sys.argv[0] = "pip"
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


def install(owner: CodeSandbox, name: Any, timeout: Any) -> SandboxResult:
    """Installs a package into the sandbox's folder."""
    requirement = check_requirement(name)
    limit = seconds(timeout, "timeout", _DAY)
    told = settings(owner)
    sandbox = told["sandbox"]
    if sandbox["network"] != "host" and not sandbox["allow_net"]:
        return SandboxResult(
            SandboxStatus.ERROR,
            "",
            f"Installing {requirement} needs the network, and this sandbox has none: "
            'grant it with SandboxConfig(network="host"), or allow_net for the hosts of the index.',
            cause="network_denied",
        )
    folder = _folder.of(owner)
    told["workspace"] = folder.packages
    env, read_only = pip_surroundings()
    sandbox["env"].pop("PYTHONPATH", None)
    if sandbox["allow_net"]:
        # The only proxy that is reached from inside is the sandbox's own.
        env.pop("PIP_PROXY", None)
    sandbox["env"].update(env)
    sandbox["read_only"] = [path for path in sandbox["read_only"] if path != folder.packages] + read_only
    sandbox["allowed_imports"], sandbox["blocked_imports"] = None, []
    # A package is built by other programs, whatever its code may do later.
    sandbox["profile"] = "default"
    sandbox["timeout"] = limit
    for limit_name, least in (
        ("memory_mb", _LEAST_MEMORY_MB),
        ("disk_mb", _LEAST_DISK_MB),
        ("processes", _LEAST_PROCESSES),
    ):
        sandbox[limit_name] = max(sandbox[limit_name], least)
    args = ["install", "--target", folder.packages, "--upgrade", "--disable-pip-version-check", "--no-input"]
    params = {"code": _PIP, "language": "python", "args": [*args, "--no-cache-dir", "--", requirement]}
    return run(owner, params, told, owner.config.max_output_bytes)


def check_requirement(name: Any) -> str:
    """A requirement by name; anything that could make pip do something else is refused."""
    requirement = text(name, "name").strip()
    if len(requirement) > _LONGEST:
        raise InvalidValueError(f"name: must have at most {_LONGEST} characters, not {len(requirement)}")
    archive = requirement.lower().endswith(_ARCHIVES)
    if _REQUIREMENT.fullmatch(requirement) and not archive:
        return requirement
    if archive:
        what = "an archive"
    elif requirement.startswith("-"):
        what = "an option of pip"
    elif "://" in requirement or "@" in requirement:
        what = "a URL"
    elif "/" in requirement or "\\" in requirement or requirement.startswith("."):
        what = "a path"
    else:
        what = "something else"
    raise InvalidValueError(
        f"name: must be a package's name with extras and versions, such as 'httpx[http2]>=0.27', "
        f"not {what}: {requirement[:200]!r}"
    )


def pip_surroundings() -> tuple[dict[str, str], list[str]]:
    """The variables that tell pip what the host's pip is told, and the paths that they name."""
    env = {_variable(option): value for option, value in configured().items()}
    for key, value in os.environ.items():
        if value and ((key.startswith("PIP_") and key not in _NOT_PASSED) or key in _NETWORK):
            env[key] = value
    paths = [env[key] for key in _PATH_VARIABLES if key in env]
    for key in _URL_VARIABLES:
        paths += [_local_path(item) for item in env.get(key, "").split()]
    shown = []
    for path in paths:
        if path and os.path.isabs(path) and os.path.exists(path) and path not in shown:
            shown.append(path)
    # What is not handed over is not to be read from a file, either.
    env["PIP_CONFIG_FILE"] = os.devnull
    return env, shown


def configured() -> dict[str, str]:
    """What pip's configuration files say, later files and `[install]` over earlier ones and `[global]`."""
    import configparser

    options: dict[str, str] = {}
    for file in _configuration_files():
        parser = configparser.RawConfigParser()
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip itself would tell; what the others say still holds
        for section in ("global", "install"):
            for option in _OPTIONS + _PATH_OPTIONS:
                if parser.has_option(section, option):
                    value = " ".join(parser.get(section, option).split())
                    options[option] = os.path.expanduser(value) if option in _PATH_OPTIONS else value
    return options


def _configuration_files() -> list[str]:
    """pip's files on Linux in the order in which it reads them: of the system, of the user, of the environment."""
    import sys

    named = os.environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return []
    of_system = os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    of_user = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return [
        *(os.path.join(folder, "pip", "pip.conf") for folder in of_system.split(os.pathsep)),
        "/etc/pip.conf",
        os.path.expanduser("~/.pip/pip.conf"),
        os.path.join(of_user, "pip", "pip.conf"),
        os.path.join(sys.prefix, "pip.conf"),
        *([named] if named else []),
    ]


def _variable(option: str) -> str:
    return "PIP_" + option.upper().replace("-", "_")


def _local_path(link: str) -> str:
    """The path of a `file:` URL or of a plain path; empty for anything else."""
    if link.startswith("file:"):
        from urllib.parse import unquote, urlsplit

        return unquote(urlsplit(link).path)
    return link if link.startswith("/") else ""
