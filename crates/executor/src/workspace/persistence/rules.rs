//! The table: which files are taken up later by a program that nobody asked to, by their place and name.
//!
//! Data with a reason beside each group. A place is names joined by `/`, compared without regard to ASCII case (file
//! systems that fold case exist): anywhere in the folder, or only at its top with a leading `/`; `*` once in the last
//! name stands for any text, `**` as the last one for everything beneath. What a person runs on purpose, such as a
//! Makefile, a build script or a test, is an ordinary file of the project and not listed.

use super::Level::{self, Flagged, Protected};

/// What else has to hold for a file to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// Its place is enough.
    Place,
    /// A script of package.json that the package manager runs by itself is new.
    PackageScripts,
    /// Flagged; protected where a setting of .npmrc names a program or options for one.
    Npmrc,
    /// Flagged; protected where it replaces a program of the build.
    Cargo,
    /// It names a toolchain by path.
    Toolchain,
    /// A line of it names an interpreter by path.
    Version,
    /// A table of pyproject.toml says where uv, Poetry or PDM get packages and plugins from.
    Pyproject,
    /// Flagged; protected where a repository around has hooks installed: its next commit runs what the file says.
    HookManager,
    /// It sets a variable that makes programs load or run something.
    Loader,
    /// It sends files through a filter, a diff or a merge driver.
    Attributes,
    /// Flagged; protected where a setting runs a program.
    Submodules,
    /// A setting of git's runs a program.
    GitConfig,
}

/// Places with one reason.
#[derive(Debug)]
pub(super) struct Group {
    /// The word in results.
    pub(super) kind: &'static str,
    pub(super) level: Level,
    pub(super) check: Check,
    /// Whether it counts in full inside a folder of installed packages, which nobody opens as a project.
    pub(super) in_packages: bool,
    /// Reads well after "it".
    pub(super) reason: &'static str,
    pub(super) places: &'static [&'static str],
}

const fn group(kind: &'static str, level: Level, reason: &'static str, places: &'static [&'static str]) -> Group {
    Group { kind, level, check: Check::Place, in_packages: false, reason, places }
}
const fn checked(kind: &'static str, check: Check, reason: &'static str, places: &'static [&'static str]) -> Group {
    Group { kind, level: Flagged, check, in_packages: false, reason, places }
}

/// Every group there is. Where several fit, the strictest counts.
#[rustfmt::skip]
pub(super) const GROUPS: &[Group] = &[
    group("shell_startup", Protected, "is read by a shell that starts", &[
        ".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases", ".profile", ".zshrc", ".zshenv",
        ".zprofile", ".zlogin", ".zlogout", ".cshrc", ".tcshrc", ".login", ".logout", ".kshrc", ".mkshrc", ".inputrc",
        ".xprofile", ".xinitrc", ".xsession", ".xsessionrc", ".pam_environment", ".lessfilter", ".config/fish/**",
        ".config/nushell/**", ".config/environment.d/**",
    ]),
    group("folder_entry", Protected, "is run by a shell that enters the folder", &[
        ".envrc*", ".autoenv", ".autoenv.zsh", ".mise.toml", "mise.toml", ".mise.*.toml", "mise.*.toml", ".mise/**",
        "mise/config.toml", ".config/mise.toml", ".config/mise/**", ".rtx.toml",
    ]),
    group("login", Protected, "is taken up at a login", &[
        ".config/autostart/**", ".config/systemd/user/**", ".local/share/systemd/user/**", ".ssh/**",
    ]),
    group("user_tools", Protected, "names programs that a tool of the user's starts by itself", &[
        ".docker/config.json", ".docker/cli-plugins/**", ".kube/config", ".aws/config", ".gnupg/**", ".config/gh/**",
        ".local/share/gh/extensions/**", ".wgetrc",
    ]),
    group("editor", Protected, "is taken up by an editor that opens the folder, and can name programs", &[
        ".vscode/settings.json", ".vscode/tasks.json", ".vscode/launch.json", ".vscode/mcp.json", "*.code-workspace",
        ".idea/**", ".fleet/**", ".zed/**", ".nova/**", ".vs/**", ".helix/**", "*.sublime-project", ".devcontainer/**",
        ".devcontainer.json", ".dir-locals.el", ".dir-locals-2.el", ".emacs", ".emacs.d/**", ".vimrc", ".gvimrc",
        ".exrc", ".nvimrc", ".nvim.lua", ".lvimrc", ".kakrc", ".vim/**", ".config/nvim/**", ".theia/**",
        ".externalToolBuilders/**", "rust-analyzer.toml", "rust-project.json",
    ]),
    group("editor", Protected, "is run by the machine that an online editor starts for the folder", &[
        ".gitpod.yml", ".ona/**", ".codesandbox/**", ".idx/**", ".stackblitzrc", ".replit",
    ]),
    group("editor", Flagged, "recommends extensions to whoever opens the folder", &[".vscode/extensions.json"]),
    group("editor", Flagged, "is loaded by an editor's extension when the folder is opened", &[
        ".eslintrc.js", ".eslintrc.cjs", "eslint.config.*", ".prettierrc.js", ".prettierrc.cjs", ".prettierrc.mjs",
        "prettier.config.*", ".stylelintrc.js", "stylelint.config.*", ".pylintrc", "pylintrc", ".flake8", ".rubocop.yml",
        ".solargraph.yml", ".luarc.json",
    ]),
    group("agent", Protected, "tells an agent which programs to run or to connect to", &[
        ".mcp.json", ".claude/settings.json", ".claude/settings.local.json", ".claude/hooks/**", ".cursor/mcp.json",
        ".cursor/hooks.json", ".cursor/hooks/**", ".cursor/environment.json", ".cursor/worktrees.json", ".cursor/cli.json",
        ".codex/config.toml", ".codex/hooks.json", ".codex/hooks/**", ".codex/rules/**", ".gemini/settings.json",
        ".gemini/extensions/**", ".aider.conf.yml", ".continue/**", ".amazonq/**", ".qwen/settings.json", "opencode.json",
        "opencode.jsonc", ".opencode/**", ".kiro/**", ".roo/mcp.json", ".crush.json", "crush.json", ".junie/mcp/**",
        ".claude.json", ".github/hooks/**", ".copilot/mcp-config.json", ".windsurf/hooks.json", ".kilocode/mcp.json",
        ".factory/mcp.json", ".factory/settings.json", ".factory/hooks/**", ".trae/mcp.json", ".amp/settings.json",
        ".openhands/setup.sh", ".openhands/pre-commit.sh", ".openhands/hooks.json", ".vibe/**",
    ]),
    group("agent_instructions", Flagged, "is read by an agent as its instructions", &[
        "AGENTS.md", "AGENTS.override.md", "CLAUDE.md", "CLAUDE.local.md", "GEMINI.md", ".cursorrules", ".windsurfrules",
        ".clinerules", ".clinerules/**", ".claude/commands/**", ".claude/agents/**", ".claude/skills/**",
        ".claude/rules/**", ".claude/output-styles/**", ".claude/plugins/**", ".agents/**", ".cursor/rules/**",
        ".cursor/commands/**", ".windsurf/**", ".roo/**", ".rules", ".goosehints", ".github/copilot-instructions.md",
        ".github/instructions/**", ".github/prompts/**", ".github/chatmodes/**", ".github/agents/**", ".gemini/commands/**",
        ".codex/prompts/**", ".junie/**", ".roomodes", ".kilocode/**", ".kilocodemodes", ".factory/**", ".trae/**",
        ".augment/**", ".augment-guidelines", ".openhands/**", ".openhands_instructions", "AGENT.md", "WARP.md",
    ]),
    group("settings", Flagged, "holds settings of agentic for this folder (it can only narrow)", &["agentic.toml"]),
    group("program_startup", Protected, "is run by a debugger or interpreter that starts in the folder", &[
        ".gdbinit", ".lldbinit", ".pdbrc", ".pdbrc.py", ".ghci", ".irbrc", ".pryrc", ".rdebugrc", ".byebugrc", ".Rprofile",
        ".Renviron", ".pythonrc", ".pythonrc.py", "ipython_config.py", "jupyter_*", ".ipython/**", ".jupyter/**", ".psqlrc",
        ".sqliterc", ".screenrc", ".tmux.conf", ".octaverc", ".iex.exs", ".erlang", ".perldb",
    ]),
    Group { kind: "python_startup", level: Protected, check: Check::Place, in_packages: true,
        reason: "is imported by every Python that has its folder on the path", places: &[
        "sitecustomize.*", "sitecustomize/**", "usercustomize.*", "usercustomize/**",
    ] },
    Group { kind: "python_startup", level: Flagged, check: Check::Place, in_packages: true,
        reason: "is read, and its import lines run, by every Python of that environment", places: &[
        "site-packages/*.pth", "dist-packages/*.pth", "site-packages/*.start", "dist-packages/*.start",
    ] },
    group("test_startup", Flagged, "is imported by pytest for every test of the folder", &["/conftest.py"]),
    group("ci", Flagged, "is run by a CI server", &[
        ".github/workflows/**", ".github/actions/**", ".gitlab-ci.yml", ".gitlab/ci/**", ".circleci/**", ".travis.yml",
        "azure-pipelines.yml", ".azure-pipelines/**", "Jenkinsfile", ".drone.yml", ".woodpecker.yml", ".woodpecker/**",
        "bitbucket-pipelines.yml", ".buildkite/**", "appveyor.yml", ".appveyor.yml", "cloudbuild.yaml", ".gitea/workflows/**",
        ".forgejo/workflows/**", ".cirrus.yml", ".semaphore/**", ".teamcity/**", "buildspec.yml", ".builds/**",
    ]),
    checked("hook_manager", Check::HookManager, "names what a git hook runs", &[
        ".pre-commit-config.yaml", ".pre-commit-config.yml", ".pre-commit-hooks.yaml", "prek.toml", "lefthook.*",
        ".lefthook.*", "lefthook-local.*", ".lefthook-local.*", ".config/lefthook.*", ".lefthook/**", ".lefthook-local/**",
        ".husky/**", ".huskyrc*", ".lintstagedrc*", "lint-staged.config.*", ".simple-git-hooks.*", "simple-git-hooks.*",
        ".overcommit.yml", ".git-hooks.yml", ".githooks/**", ".git-hooks/**", "commitlint.config.*", ".commitlintrc*",
    ]),
    checked("package_scripts", Check::PackageScripts, "runs a script when packages are installed", &["package.json"]),
    checked("package_manager", Check::Npmrc, "steers npm", &[".npmrc"]),
    group("package_manager", Flagged, "steers a package manager", &[
        ".yarnrc", ".yarnrc.yml", ".yarn/releases/**", ".yarn/plugins/**", ".pnpmfile.cjs", ".pnpmfile.mjs", "bunfig.toml",
        "pip.conf", "pip.ini", ".pip/**", ".config/pip/**", ".config/uv/**", ".pypirc", ".condarc", ".gemrc",
        ".bundle/config", "nuget.config", ".m2/**", "uv.toml", "poetry.toml", "pdm.toml", ".config/pypoetry/**",
        ".pydistutils.cfg",
    ]),
    checked("package_manager", Check::Pyproject, "says where packages come from", &["pyproject.toml"]),
    checked("build_tool", Check::Version, "names an interpreter by path", &[
        ".python-version", ".tool-versions",
    ]),
    group("build_tool", Flagged, "names the interpreter that PDM runs", &[".pdm-python"]),
    checked("build_tool", Check::Cargo, "steers cargo, which editors start by themselves", &[".cargo/config.toml", ".cargo/config"]),
    checked("build_tool", Check::Toolchain, "names a Rust toolchain by path", &["rust-toolchain.toml", "rust-toolchain"]),
    group("build_tool", Flagged, "steers a build tool before the project's own files", &[
        ".bazelrc", "gradle/wrapper/**", ".mvn/**",
    ]),
    checked("dotenv", Check::Loader, "sets a variable that makes programs load or run something", &[".env", ".env.*"]),
    checked("git_attributes", Check::Attributes, "sends files through a filter, diff or merge driver", &[".gitattributes"]),
    checked("git_submodules", Check::Submodules, "names repositories that git fetches", &[".gitmodules"]),
    Group { kind: "git_config", level: Protected, check: Check::GitConfig, in_packages: true,
        reason: "makes git run a program", places: &[".gitconfig", ".config/git/config"] },
    group("launcher", Flagged, "is a launcher that a desktop starts by a click", &["*.desktop"]),
];

/// Folders of installed packages: what lies in one is nobody's project.
pub(super) const PACKAGES: &[&str] = &[
    "node_modules",
    "bower_components",
    "site-packages",
    "dist-packages",
    "vendor",
    "pods",
    ".pnpm-store",
    ".tox",
    ".nox",
];

/// Commands that people type without a thought: a program of that name in an environment's `bin` comes before the
/// system's once the environment is activated.
pub(super) const COMMANDS: &[&str] = &[
    "apt",
    "awk",
    "basename",
    "bash",
    "cargo",
    "cat",
    "cd",
    "chmod",
    "clear",
    "cp",
    "curl",
    "cut",
    "date",
    "df",
    "diff",
    "dirname",
    "docker",
    "du",
    "echo",
    "env",
    "find",
    "gcc",
    "gh",
    "git",
    "grep",
    "head",
    "id",
    "kill",
    "kubectl",
    "less",
    "ln",
    "ls",
    "make",
    "man",
    "mkdir",
    "more",
    "mv",
    "nano",
    "ps",
    "pwd",
    "readlink",
    "rm",
    "rsync",
    "scp",
    "sed",
    "sh",
    "sleep",
    "sort",
    "ssh",
    "su",
    "sudo",
    "systemctl",
    "tail",
    "tar",
    "tee",
    "test",
    "top",
    "touch",
    "tr",
    "uname",
    "vi",
    "vim",
    "wc",
    "wget",
    "which",
    "whoami",
    "xargs",
    "zsh",
];
