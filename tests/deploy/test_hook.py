"""The `update` hook lets a restricted account add dataset versions and nothing else, whatever it pushes."""

import base64
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

HOOK = Path(__file__).parents[2] / "deploy/hooks/update"
POINTER = "outs:\n- md5: {md5}.dir\n  size: 2048\n  nfiles: 2\n  hash: md5\n  path: {path}\n"
# What sshd does with the two lines of authorized_keys in docs/deploy.md.
SSH = """#!/bin/sh
shift
SSH_ORIGINAL_COMMAND="$*" exec /bin/sh -c '{command}'
"""
INGEST = 'DESTSEG_GIT_ACCOUNT=ingest git-shell -c "$SSH_ORIGINAL_COMMAND"'
READER = "git-upload-pack {path}"


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


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A clone of a repository with code and a dataset; the server knows `ingest` as restricted."""
    bare = tmp_path / "origin.git"
    work = Clone(tmp_path / "clone", str(bare))
    work.folder.mkdir()
    work.git("init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    work.git("init", "--quiet", "--initial-branch=main")
    shutil.copy(HOOK, bare / "hooks/update")
    subprocess.run(["git", "config", "--add", "destseg.restricted", "ingest"], cwd=bare, check=True)
    work.commit({"destseg.py": "code\n", "data/mvtec/washer.dvc": pointer("0" * 32), "params.yaml": "seed: 0\n"})
    work.push(account="engineer")
    return work


def test_ingest_adds_a_version_as_it_does(clone: Clone) -> None:
    clone.commit({"data/mvtec/washer.dvc": pointer(), "data/mvtec/washer.provenance.jsonl": '{"sha256": "1"}\n'})
    clone.commit({"data/mvtec/m6-bolt_2.dvc": pointer("b" * 32, "m6-bolt_2")})
    clone.push()
    assert clone.git("ls-remote", clone.url, "main").split()[0] == clone.git("rev-parse", "HEAD")


@pytest.mark.parametrize(
    "name",
    [
        "destseg.py",
        "params.yaml",
        "dvc.yaml",
        ".dvc/config",
        ".gitattributes",
        "data/README.md",
        "data/mvtec/.gitignore",
        "data/mvtec/.provenance.jsonl",
        "data/mvtec/washer/train/good/1.dvc",
        "data/mvtec/sub/washer.provenance.jsonl",
        "data/mvtec/washer.dvc ",
        "data/mvtec/washer.py.dvc",
        "data/mvtec/Washer.provenance.jsonl",
        "data/mvtec/-washer.provenance.jsonl",
        "data/mvtec/wäsher.provenance.jsonl",
        "data/mvtec/a\n100644.provenance.jsonl",
        " data/mvtec/washer.provenance.jsonl",
        "x/data/mvtec/washer.provenance.jsonl",
    ],
)
def test_no_other_file(clone: Clone, name: str) -> None:
    clone.commit({name: "{}\n"})
    assert "may change data/mvtec/<category>.dvc and .provenance.jsonl only" in clone.refused()


def test_a_file_hidden_below_the_tip(clone: Clone) -> None:
    first = clone.commit({"destseg.py": "worse code\n"})
    clone.commit({"destseg.py": "code\n", "data/mvtec/washer.dvc": pointer()})
    assert f"{first} changes destseg.py" in clone.refused()


def test_a_renamed_file(clone: Clone) -> None:
    clone.git("mv", "destseg.py", "data/mvtec/washer.provenance.jsonl")
    clone.git("commit", "--quiet", "-m", "Renamed")
    assert "changes destseg.py" in clone.refused()


@pytest.mark.parametrize(
    "content",
    [
        pointer(path="../../yaml.py"),
        pointer(path="fabric"),
        pointer() + "wdir: ../..\n",
        pointer() + "deps:\n- path: /etc/passwd\n",
        "wdir: ../..\n" + pointer(),
        pointer() + pointer(path="../../yaml.py")[6:],
        pointer().replace(".dir", ""),
        pointer("a" * 31),
        pointer().replace("  hash: md5\n", "  remote: other\n"),
        "",
    ],
)
def test_no_pointer_that_leads_out_of_its_folder(clone: Clone, content: str) -> None:
    clone.commit({"data/mvtec/washer.dvc": content})
    assert "is not what `dvc add data/mvtec/washer` writes" in clone.refused()


def test_no_merge_even_of_what_is_allowed(clone: Clone) -> None:
    base = clone.git("rev-parse", "HEAD")
    clone.commit({"data/mvtec/washer.dvc": pointer()})
    clone.git("checkout", "--quiet", "-b", "side", base)
    clone.commit({"data/mvtec/bolt.dvc": pointer("c" * 32, "bolt")})
    clone.git("checkout", "--quiet", "main")
    clone.git("merge", "--quiet", "--no-edit", "side")
    assert "is a merge" in clone.refused()


def test_no_merge_that_smuggles_a_change(clone: Clone) -> None:
    base = clone.git("rev-parse", "HEAD")
    clone.commit({"data/mvtec/washer.dvc": pointer()})
    clone.git("checkout", "--quiet", "-b", "side", base)
    clone.commit({"data/mvtec/bolt.dvc": pointer("c" * 32, "bolt")})
    clone.git("checkout", "--quiet", "main")
    clone.git("merge", "--quiet", "--no-commit", "side")
    (clone.folder / "destseg.py").write_text("evil\n")
    clone.git("add", "destseg.py")
    clone.git("commit", "--quiet", "-m", "Merge")
    assert "is a merge" in clone.refused()


def test_no_unreviewed_branch_of_the_server(clone: Clone) -> None:
    clone.git("checkout", "--quiet", "-b", "experiment")
    code = clone.commit({"destseg.py": "unreviewed\n"})
    clone.push("HEAD:refs/heads/experiment", account="engineer")
    clone.commit({"data/mvtec/washer.dvc": pointer()})
    assert f"{code} changes destseg.py" in clone.refused()


@pytest.mark.parametrize("kind", ["symlink", "executable", "submodule", "deleted", "symlink in place of a file"])
def test_no_mode_but_a_plain_file(clone: Clone, kind: str) -> None:
    name = "data/mvtec/bolt.provenance.jsonl"
    if kind == "symlink":
        (clone.folder / name).symlink_to("../../destseg.py")
    elif kind == "executable":
        (clone.folder / name).write_text("{}\n")
        (clone.folder / name).chmod(0o755)
    elif kind == "submodule":
        clone.git("update-index", "--add", "--cacheinfo", f"160000,{clone.git('rev-parse', 'HEAD')},{name}")
    else:
        (clone.folder / "data/mvtec/washer.dvc").unlink()
        if kind != "deleted":
            (clone.folder / "data/mvtec/washer.dvc").symlink_to("../../params.yaml")
    if kind != "submodule":
        clone.git("add", "--all")
    clone.git("commit", "--quiet", "-m", kind)
    assert "expected a plain file that stays, 100644" in clone.refused()


def test_no_other_ref_and_no_deletion(clone: Clone) -> None:
    clone.commit({"data/mvtec/washer.dvc": pointer()})
    clone.git("tag", "v1")
    for ref in ["HEAD:refs/heads/other", "refs/tags/v1", "HEAD:refs/replace/" + "1" * 40, "HEAD:refs/notes/x"]:
        assert "may push to main only" in clone.refused(ref)
    subprocess.run(["git", "config", "receive.denyDeleteCurrent", "ignore"], cwd=clone.url, check=True)
    assert "may not delete refs/heads/main" in clone.refused(":refs/heads/main")
    clone.push("HEAD:refs/heads/other", account="engineer")
    assert "may push to main only" in clone.refused(":refs/heads/other")


def test_no_rewriting(clone: Clone) -> None:
    clone.commit({"data/mvtec/washer.dvc": pointer()})
    clone.push()
    clone.git("commit", "--quiet", "--amend", "-m", "Another past")
    assert "may not rewrite refs/heads/main" in clone.refused("+HEAD:refs/heads/main")
    assert "may not rewrite refs/heads/main" in clone.refused("+HEAD~1:refs/heads/main")


def test_a_new_branch_is_judged_with_its_whole_history(clone: Clone) -> None:
    subprocess.run(["git", "config", "destseg.branch", "ingest"], cwd=clone.url, check=True)
    clone.commit({"data/mvtec/washer.dvc": pointer()})
    assert "changes destseg.py" in clone.refused("HEAD:refs/heads/ingest")
    assert "may push to ingest only" in clone.refused()
    clone.git("checkout", "--quiet", "--orphan", "data-only")
    clone.git("rm", "--quiet", "-r", "--force", ".")
    clone.commit({"data/mvtec/washer.dvc": pointer()})
    clone.push("HEAD:refs/heads/ingest")


def test_others_are_free_and_nobody_is_anonymous(clone: Clone) -> None:
    clone.commit({"destseg.py": "better code\n"})
    assert "names no account" in clone.refused(account=None)
    assert "names no account" in clone.refused(account="")
    assert "changes destseg.py" in clone.refused(account=None, REMOTE_USER="ingest")
    assert "changes destseg.py" in clone.refused(account="engineer", REMOTE_USER="ingest")
    clone.push(account="engineer")


def test_a_repository_that_cannot_be_read_is_not_taken_for_an_innocent_one(clone: Clone, tmp_path: Path) -> None:
    clone.commit({"data/mvtec/washer.dvc": pointer()})
    tree = clone.git("rev-parse", "HEAD~1^{tree}")
    clone.push("HEAD~1:refs/heads/main")  # packs nothing new
    for name in (tmp_path / "origin.git/objects").glob(f"{tree[:2]}/{tree[2:]}"):
        name.unlink()
    with pytest.raises(subprocess.CalledProcessError) as caught:
        clone.push()
    assert "hook declined" in caught.value.stderr


def ssh(folder: Path, command: str) -> dict[str, str]:
    """The environment of a git whose key has this forced command."""
    program = folder / "ssh"
    program.write_text(SSH.format(command=command))
    program.chmod(0o755)
    return {"GIT_SSH": str(program), "GIT_SSH_VARIANT": "simple"}


def test_the_account_comes_from_ssh(clone: Clone, tmp_path: Path) -> None:
    env = ssh(tmp_path, INGEST)
    clone.url = f"git@server:{clone.url}"
    clone.commit({"data/mvtec/washer.dvc": pointer()})
    clone.push(account="engineer", **env)  # the forced command overrides what the client says
    clone.commit({"destseg.py": "evil\n"})
    assert "ingest may change" in clone.refused(account="engineer", **env)


def test_a_reading_key_fetches_and_cannot_push(clone: Clone, tmp_path: Path) -> None:
    env = ssh(tmp_path, READER.format(path=clone.url))
    url = f"git@server:{clone.url}"
    clone.git("fetch", "--quiet", url, "main", **env)
    clone.commit({"data/mvtec/washer.dvc": pointer()})
    before = clone.git("ls-remote", clone.url)
    with pytest.raises(subprocess.CalledProcessError):
        clone.git("push", "--quiet", url, "HEAD:refs/heads/main", account="engineer", **env)
    assert clone.git("ls-remote", clone.url) == before


class Web(http.server.BaseHTTPRequestHandler):
    """A web server that has authenticated its users, in front of git's own http-backend."""

    def do_GET(self) -> None:
        user = base64.b64decode(self.headers.get("Authorization", "Basic ")[6:]).decode().partition(":")[0]
        if not user:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        env = {
            **os.environ,
            "GIT_PROJECT_ROOT": "/",
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "REMOTE_USER": user,
        }
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        done = subprocess.run(["git", "http-backend"], env=env, input=body, stdout=subprocess.PIPE, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    """Its address, for the user `ingest`."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://ingest:secret@127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_account_comes_from_the_web_server(clone: Clone, web: str) -> None:
    clone.url = f"{web}{clone.url}"
    clone.commit({"data/mvtec/washer.dvc": pointer()})
    clone.push(account=None)
    clone.commit({"destseg.py": "evil\n"})
    assert "ingest may change" in clone.refused(account=None)
