"""What may be shown of what comes from outside."""

import pytest

from destseg.text import without_login


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://mlflow:s3cret@db:5432/mlflow", "postgresql://db:5432/mlflow"),
        ("https://token@git.example.com/line.git", "https://git.example.com/line.git"),
        ("https://mlflow.example.com/#/models/a@b", "https://mlflow.example.com/#/models/a@b"),
        ("sqlite:////srv/a@b/mlflow.db", "sqlite:////srv/a@b/mlflow.db"),
        ("git@example.com:line.git", "git@example.com:line.git"),
    ],
)
def test_an_address_is_shown_without_its_login(address: str, shown: str) -> None:
    assert without_login(address) == shown
