from __future__ import annotations

import random
import re
import string
import zlib

import pytest

from ai_gateway_mw.keys import PATTERN, digest, generate, masked, name_hint, well_formed

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
KNOWN = "gw_sk_0123456789ABCDEFGHIJKLMNOPQRSTUV4Jf79t"


def test_a_key_has_its_form() -> None:
    key = generate()
    assert re.fullmatch(r"gw_sk_[0-9A-Za-z]{38}", key)
    assert well_formed(key)
    assert len({generate() for _ in range(100)}) == 100


def test_randomness_comes_in_from_outside() -> None:
    assert generate(random.Random(1)) == generate(random.Random(1)) != generate(random.Random(2))


def test_the_checksum_is_crc_32_of_all_that_precedes_it() -> None:
    number = 0
    for character in KNOWN[-6:]:
        number = number * 62 + BASE62.index(character)
    assert number == zlib.crc32(KNOWN[:-6].encode())
    assert well_formed(KNOWN)


def test_no_single_wrong_character_passes() -> None:
    typist = random.Random(7)
    for _ in range(5_000):
        key = generate(typist)
        at = typist.randrange(len(key))
        wrong = typist.choice([each for each in BASE62 + "_-" if each != key[at]])
        assert not well_formed(key[:at] + wrong + key[at + 1 :])


@pytest.mark.parametrize(
    "value",
    [
        "",
        "gw_sk_",
        KNOWN[:-1],
        KNOWN + "0",
        KNOWN + "\n",
        KNOWN.upper(),
        KNOWN.lower(),
        f" {KNOWN}",
        KNOWN.replace("gw_sk_", "gw_pk_"),
        KNOWN[:-1] + "é",
        KNOWN.replace("0", "٠"),
        "\udcff" * 44,
        "x" * 1_000_000,
        "gw_sk_" + "z" * 38,
    ],
    ids=range(14),
)
def test_nothing_else_is_well_formed(value: str) -> None:
    assert not well_formed(value)


def test_the_pattern_for_scanners_finds_a_key_in_text() -> None:
    assert re.findall(PATTERN, f'GATEWAY_API_KEY="{KNOWN}" gw_sk_short x{KNOWN} {KNOWN}y') == [KNOWN]


def test_the_digest_depends_on_key_and_pepper() -> None:
    one = digest(KNOWN, b"pepper")
    assert len(one) == 32
    assert one == digest(KNOWN, b"pepper")
    assert len({one, digest(KNOWN, b"salt"), digest(generate(), b"pepper")}) == 3


@pytest.mark.parametrize(
    ("value", "shown"), [(KNOWN, "gw_sk_0123…f79t"), ("", "…"), ("sk-proj-secret", "…"), (KNOWN + "x", "…")]
)
def test_a_masked_key_shows_its_ends_and_nothing_else_shows_anything(value: str, shown: str) -> None:
    assert masked(value) == shown


@pytest.mark.parametrize(
    "name",
    [
        "production-api-primary",
        "production-api-backup",
        "staging-api-testing",
        "development-local",
        "ci-github-actions",
        "production-api",
    ],
)
def test_names_by_the_convention_get_no_hint(name: str) -> None:
    assert name_hint(name) == ""


@pytest.mark.parametrize("name", ["mobile-app", "development", "Production-API", "production_api", "my key", ""])
def test_other_names_get_a_hint(name: str) -> None:
    assert "production-api-primary" in name_hint(name)
