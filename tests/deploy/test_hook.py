"""The `update` hook lets a restricted account add dataset versions and nothing else, whatever it pushes."""

import subprocess
from pathlib import Path

import pytest

from .guarded import Clone, pointer


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
