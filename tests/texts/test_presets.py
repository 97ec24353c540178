"""Every preset with what it finds, whole, and with what looks like it and is something else."""

from __future__ import annotations

import pytest

from ai_gateway_mw.texts import GROUPS, PRESETS, Replacer, preset_names
from ai_gateway_mw.texts.prefixes import begun_pattern

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA0Z3\n+a/b==\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N"

HITS: dict[str, list[str]] = {
    "email": ["a@b.co", "first.last+tag@mail.example.org", "x_1%y@sub-domain.example.museum", "A@B.COM"],
    "phone": [
        "+49 30 901820", "+1 (415) 555-2671", "+14155552671", "+44 20 7946 0958", "(415) 555-2671", "415-555-2671",
        "415.555.2671", "+91 98765 43210",
    ],
    "us-ssn": ["123-45-6789", "001-01-0001", "899 99 9999"],
    "card": [
        "4111111111111111", "4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005", "3782 822463 10005",
        "6011111111111117", "30569309025904", "2223003122003222",
    ],
    "iban": [
        "DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "GB29 NWBK 6016 1331 9268 19", "NO9386011117947",
        "FR14 2004 1010 0505 0001 3M02 606", "MT84MALT011000012345MTLCAST001S",
    ],
    "provider-key": [
        "sk-abcdefghij0123456789ABCD", "sk-proj-abcDEF_0123456789-xyzabc", "sk-ant-api03-0123456789abcdefghij",
        "gsk_0123456789abcdefghijklmn", "AIza" + "Ab3_-" * 7, "hf_abcdefghijklmnopqrstuvwx", "xai-0123456789abcdefghij",
        "sk_live_0123456789abcdefgh",
    ],
    "aws-key": ["AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE"],
    "github-token": ["ghp_" + "a1B2" * 9, "gho_" + "a1B2" * 9, "github_pat_" + "a1B2_" * 12],
    "private-key": [KEY, KEY.replace("RSA ", ""), KEY.replace("RSA", "OPENSSH"), KEY.replace("\n", "\\n")],
    "jwt": [JWT],
}  # fmt: skip
MISSES: dict[str, list[str]] = {
    "email": ["a@b", "@example.org", "user at example.org", "a@.org", "50@5", "x@y.1"],
    "phone": [
        "12345", "2024-01-15", "10.0.0.1", "192.168.100.200", "015-555-2671", "415-155-2671", "1234-5678-9012", "+1 2",
        "version 1.2.3", "3.14159265358979",
    ],
    "us-ssn": [
        "000-12-3456", "666-12-3456", "900-12-3456", "123-00-4567", "123-45-0000", "123-45-67890", "123-45 6789",
    ],
    "card": [
        "4111111111111112", "1234567812345678", "0000000000000000", "4444444444444444", "411111111111",
        "9111111111111111", "12345678901234567890123",
    ],
    "iban": [
        "DE89370400440532013001", "XX89370400440532013000", "DE8937040044053201300", "AB12CDEF", "GB29 NWBK",
        "DE893704004405320130001",
    ],
    "provider-key": ["sk-short", "task-abcdefghij0123456789ABCD", "sk-", "AIza123", "disk-abcdefghij0123456789"],
    "aws-key": ["AKIA", "AKIAIOSFODNN7EXAMPLEX", "akiaiosfodnn7example"],
    "github-token": ["ghp_short", "ghx_" + "a1B2" * 9],
    "private-key": ["-----BEGIN PUBLIC KEY-----\nMII=\n-----END PUBLIC KEY-----", "BEGIN PRIVATE KEY"],
    "jwt": ["eyJhbGciOiJIUzI1NiJ9", "eyJhbGciOiJIUzI1NiJ9.x.y", "a.b.c"],
}  # fmt: skip


def found(name: str, text: str) -> list[str]:
    preset = PRESETS[name]
    program = Replacer(preset.pattern, lambda match: None).program
    matches = [match.group() for match in program.finditer(text.encode())]
    return [match[:length].decode() for match in matches if (length := preset.check(match))]


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in HITS.items() for text in texts])
def test_a_preset_finds_it_whole_and_wherever_it_stands(name: str, text: str) -> None:
    for before, after in (("", ""), ("it is ", "."), ("(", ")"), ('"', '"'), ("é ", " é"), (":", ", and more")):
        assert found(name, before + text + after) == [text]


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in MISSES.items() for text in texts])
def test_a_preset_leaves_alone_what_only_looks_like_it(name: str, text: str) -> None:
    assert found(name, text) == []
    assert found(name, f"it is {text}.") == []


def test_every_preset_has_its_tables() -> None:
    assert HITS.keys() == MISSES.keys() == PRESETS.keys()


def test_an_iban_ends_where_its_country_says() -> None:
    assert found("iban", "DE89 3704 0044 0532 0130 00 ABCD 12") == ["DE89 3704 0044 0532 0130 00"]


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_it_can_be_told_whether_a_text_may_yet_become_a_find(name: str) -> None:
    begun = begun_pattern(PRESETS[name].pattern)
    for text in HITS[name]:
        for end in range(1, len(text) + 1):
            assert begun.search(f"- {text[:end]}".encode()).start() <= 2


def test_groups_stand_for_their_presets_in_the_order_of_looking() -> None:
    assert {name for names in GROUPS.values() for name in names} == PRESETS.keys()
    assert preset_names(["pii", "phone"]) == ["email", "iban", "card", "us-ssn", "phone"]
    assert preset_names(["phone", "secrets"])[-1] == "phone"
