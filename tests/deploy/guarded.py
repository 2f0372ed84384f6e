"""A bare git repository that deploy/hooks/update guards, and a clone of it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HOOK = Path(__file__).parents[2] / "deploy/hooks/update"
POINTER = "outs:\n- md5: {md5}.dir\n  size: 2048\n  nfiles: 2\n  hash: md5\n  path: {path}\n"


def pointer(md5: str = "a" * 32, path: str = "washer") -> str:
    return POINTER.format(md5=md5, path=path)


class Clone:
    """A clone of a repository that the hook guards."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url

    def git(self, *arguments: str, account: str | None = "ingest", **env: str) -> str:
        base = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "REMOTE_USER"))}
        base |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"} | env
        if account is not None:
            base["DESTSEG_GIT_ACCOUNT"] = account
        options = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "advice.detachedHead=false"]
        done = subprocess.run(
            ["git", *options, *arguments], cwd=self.folder, env=base, capture_output=True, text=True, timeout=60
        )
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, arguments, done.stdout, done.stderr)
        return done.stdout.strip()

    def commit(self, files: dict[str, str | None], message: str = "A change") -> str:
        """A commit that writes these files; None deletes one."""
        for name, content in files.items():
            path = self.folder / name
            if content is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", message)
        return self.git("rev-parse", "HEAD")

    def push(self, *refs: str, account: str | None = "ingest", **env: str) -> None:
        self.git("push", "--quiet", self.url, *(refs or ("HEAD:refs/heads/main",)), account=account, **env)

    def refused(self, *refs: str, account: str | None = "ingest", **env: str) -> str:
        """What the hook says to a push, which has changed no ref of the server."""
        before = self.git("ls-remote", str(self.folder.parent / "origin.git"))
        with pytest.raises(subprocess.CalledProcessError) as caught:
            self.push(*refs, account=account, **env)
        assert self.git("ls-remote", str(self.folder.parent / "origin.git")) == before
        said = [line for line in caught.value.stderr.splitlines() if "destseg:" in line]
        assert said, caught.value.stderr
        return " ".join(said)


def guarded(folder: Path) -> Clone:
    """A clone of a repository with code and a dataset; the server knows `ingest` as restricted."""
    bare = folder / "origin.git"
    work = Clone(folder / "clone", str(bare))
    work.folder.mkdir()
    work.git("init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    work.git("init", "--quiet", "--initial-branch=main")
    shutil.copy(HOOK, bare / "hooks/update")
    subprocess.run(["git", "config", "--add", "destseg.restricted", "ingest"], cwd=bare, check=True)
    work.commit({"destseg.py": "code\n", "data/mvtec/washer.dvc": pointer("0" * 32), "params.yaml": "seed: 0\n"})
    work.push(account="engineer")
    return work
