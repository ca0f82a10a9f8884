"""One local repository and the few facts about it an import depends on. Every git process is started here.

User, system and repository configuration can change what git prints; each setting known to do so is
overridden on the command line, and GIT_* variables are dropped. The rest of the configuration stays in
force, because `safe.directory` and `mailmap.file` belong to whoever runs the import.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from cdp.importers.git.errors import GitFailed, GitMissing, NotARepository, UnknownRevision

_SETTINGS = (
    "color.ui=false",
    "core.attributesFile=/dev/null",
    "core.bigFileThreshold=512m",
    "core.pager=cat",
    "core.quotePath=false",
    "diff.ignoreSubmodules=none",
    "diff.renameLimit=1000",
    "i18n.logOutputEncoding=UTF-8",
    "log.follow=false",
    "log.mailmap=true",
    "log.showRoot=true",
    "log.showSignature=false",
)
_KEPT_VARIABLES = frozenset({"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH"})
_SSH_REMOTE = re.compile(r"(?:[^@/:\s]+@)?(?P<host>[^@/:\s]{2,}):(?!//)(?P<path>.+)")
_QUESTION_TIMEOUT_SECONDS = 600


class Repository:
    def __init__(self, path: str | os.PathLike[str]) -> None:
        """`path` is a working tree, a folder in one, or a bare repository. It is only ever a working
        directory of git, so no spelling of it can be read as an option."""
        self.path = Path(path).absolute()
        if not self.path.is_dir():
            raise NotARepository(detail=f"({path} is not a folder)")
        self.git_dir = Path(self._first_answer())
        self.is_bare = self.ask("rev-parse", "--is-bare-repository") == "true"
        self.root = self.git_dir if self.is_bare else Path(self.ask("rev-parse", "--show-toplevel"))

    def _first_answer(self) -> str:
        try:
            return self.ask("rev-parse", "--absolute-git-dir")
        except GitFailed as error:
            raise NotARepository(detail=f"({self.path}: {error.detail.strip('()')})") from error

    @property
    def name(self) -> str:
        folder = self.root.parent if self.root.name == ".git" else self.root
        return folder.name.removesuffix(".git") or "repository"

    def start(self, *arguments: str, **pipes: int | object) -> subprocess.Popen[bytes]:
        """A running git; the caller reads its output and ends it."""
        try:
            return subprocess.Popen(self.command(*arguments), cwd=self.path, env=_environment(), **pipes)  # type: ignore[call-overload,no-any-return]
        except FileNotFoundError as error:
            raise GitMissing(hint="Install git, or put it on the PATH.") from error

    @staticmethod
    def command(*arguments: str) -> list[str]:
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        return ["git", "--no-pager", "--no-optional-locks", *settings, *arguments]

    def ask(self, *arguments: str) -> str:
        """The answer of a short command, without its last line end."""
        answer = self._run(*arguments)
        if answer.returncode != 0:
            raise GitFailed(detail=f"({_reason(answer.stderr)})")
        return os.fsdecode(answer.stdout).removesuffix("\n")

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                self.command(*arguments),
                cwd=self.path,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_QUESTION_TIMEOUT_SECONDS,
            )
        except FileNotFoundError as error:
            raise GitMissing(hint="Install git, or put it on the PATH.") from error
        except subprocess.TimeoutExpired as error:
            raise GitFailed(detail=f"(no answer to git {arguments[0]} in {error.timeout:.0f} s)") from error

    def commit(self, revision: str) -> str | None:
        """The full hash of a revision; None for the HEAD of a repository without commits."""
        found = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", revision.strip() + "^{commit}")
        if found.returncode == 0:
            return found.stdout.decode().strip()
        if revision == "HEAD" and not self._run("rev-list", "-n1", "--all").stdout.strip():
            return None
        raise UnknownRevision(
            f"The repository has no revision {revision!r}.",
            detail=f"({self.path})",
            hint="Name a branch, a tag or a commit that `git log` knows.",
        )

    def count(self, commits: str) -> int:
        return int(self.ask("rev-list", "--count", commits, "--"))

    def is_ancestor(self, older: str, newer: str) -> bool:
        """False as well when the older commit no longer exists."""
        return self._run("merge-base", "--is-ancestor", older, newer).returncode == 0

    def remote_url(self) -> str:
        """The web address of `origin`, or the file address of the folder when there is no remote."""
        answer = self._run("config", "--get", "remote.origin.url")
        remote = os.fsdecode(answer.stdout).strip()
        return web_address(remote) if remote else self.root.as_uri()

    def shallow_boundary(self) -> frozenset[str]:
        """Commits whose parents a shallow clone cut off: git shows them as if they had added the whole
        tree."""
        file = self.path / self.ask("rev-parse", "--git-path", "shallow")
        return frozenset(file.read_text().split()) if file.is_file() else frozenset()

    def mailmap_digest(self) -> str:
        """A digest of everything git maps names with; empty when there is no mailmap."""
        found = [text for text in self._mailmaps() if text.strip()]
        return hashlib.sha256(b"\0".join(found)).hexdigest() if found else ""

    def _mailmaps(self) -> list[bytes]:
        worktree = self.root / ".mailmap"
        texts = [worktree.read_bytes()] if not self.is_bare and worktree.is_file() else []
        blob = os.fsdecode(self._run("config", "--get", "mailmap.blob").stdout).strip()
        blob = blob or ("HEAD:.mailmap" if self.is_bare else "")
        if blob:
            texts.append(self._run("cat-file", "blob", blob).stdout)
        file = os.fsdecode(self._run("config", "--type=path", "--get", "mailmap.file").stdout).strip()
        if file and (self.root / file).is_file():
            texts.append((self.root / file).read_bytes())
        return texts


def web_address(remote: str) -> str:
    """`git@github.com:org/repo.git` and `https://user:secret@github.com/org/repo.git/` are both
    `https://github.com/org/repo`: one address per repository, and never a password in it."""
    remote = remote.strip()
    if "://" not in remote:
        ssh = _SSH_REMOTE.fullmatch(remote)
        if ssh is None:
            return Path(remote).absolute().as_uri()
        remote = f"ssh://{ssh['host']}/{ssh['path'].lstrip('/')}"
    parts = urlsplit(remote)
    scheme = "https" if parts.scheme in ("ssh", "git", "git+ssh", "http", "https") else parts.scheme
    host = parts.netloc.rpartition("@")[2].lower()
    if parts.scheme not in ("http", "https"):
        host = host.partition(":")[0]
    return f"{scheme}://{host}{parts.path.rstrip('/').removesuffix('.git')}"


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in _KEPT_VARIABLES}
    return {**kept, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1"}


def _reason(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("fatal: ") if lines else "no reason given"
