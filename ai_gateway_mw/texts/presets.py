"""What `redact` finds: personal data and credentials, each by a pattern and, where there is one, by its checksum."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

Check = Callable[[bytes], int]


@dataclass(frozen=True, slots=True)
class Preset:
    """`check` gives how many bytes of a match are what is looked for: 0 for none."""

    name: str
    pattern: str
    check: Check = len


def _digits(text: bytes) -> bytes:
    return bytes(byte for byte in text if 48 <= byte <= 57)


def _phone(text: bytes) -> int:
    digits = _digits(text)
    if text.startswith(b"+"):
        return len(text) if 8 <= len(digits) <= 15 else 0  # ITU-T E.164
    return len(text) if digits[0] > 49 and digits[3] > 49 else 0  # no area or exchange begins with 0 or 1


def _us_ssn(text: bytes) -> int:
    """The numbers that the Social Security Administration gives to nobody."""
    area, group, serial = text[:3], text[4:6], text[7:]
    nobody = area in (b"000", b"666") or area[:1] == b"9" or group == b"00" or serial == b"0000" or text[3] != text[6]
    return 0 if nobody else len(text)


def _card(text: bytes) -> int:
    """ISO/IEC 7812: the last digit is that of Luhn; 2 to 6 begin the numbers of payment cards."""
    digits = [byte - 48 for byte in _digits(text)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    if not 2 <= digits[0] <= 6 or len(set(digits)) == 1:
        return 0
    return 0 if (sum(digits[-1::-2]) + sum(doubled)) % 10 else len(text)


# ISO 13616, the registry of IBAN: how many characters each country's have.
_IBAN_LENGTHS: Final = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL FK SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV", 29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip


def _iban(text: bytes) -> int:
    """The number may be followed by words that look like its next group: its country says where it ends."""
    length = _IBAN_LENGTHS.get(text[:2].decode(), 0)
    taken = end = 0
    for end, byte in enumerate(text, 1):  # noqa: B007 - where it stopped is what is asked for
        taken += byte != 32
        if taken == length:
            break
    number = text[:end].replace(b" ", b"").decode()
    if not length or taken < length or text[end : end + 1].isalnum():
        return 0
    return end if int("".join(str(int(each, 36)) for each in number[4:] + number[:4])) % 97 == 1 else 0


_PRESETS: Final = (
    Preset(
        "private-key",
        r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY-----[A-Za-z0-9+/=\s\\,:-]*?"
        r"-----END (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY-----",
    ),
    Preset("jwt", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    Preset(
        "provider-key",
        r"\b(?:sk-[A-Za-z0-9_-]{20,}|sk_(?:live|test)_[A-Za-z0-9]{16,}|gw_sk_[A-Za-z0-9]{38}|gsk_[A-Za-z0-9]{20,}"
        r"|xai-[A-Za-z0-9]{20,}|hf_[A-Za-z0-9]{20,}|r8_[A-Za-z0-9]{20,}|pplx-[A-Za-z0-9]{20,}|AIza[A-Za-z0-9_-]{35})",
    ),
    Preset("aws-key", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    Preset("github-token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})\b"),
    Preset("email", r"\b[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b"),
    Preset("iban", r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{1,4}){3,8}\b", _iban),
    Preset("card", r"\b[0-9](?:[ -]?[0-9]){12,18}\b", _card),
    Preset("us-ssn", r"\b[0-9]{3}[- ][0-9]{2}[- ][0-9]{4}\b", _us_ssn),
    Preset(
        "phone",
        r"(?:\+[1-9][0-9]{0,2}[ .-]?(?:\([0-9]{1,4}\)[ .-]?)?[0-9]{1,4}(?:[ .-]?[0-9]{2,4}){1,4}"
        r"|\([0-9]{3}\) ?[0-9]{3}[ .-][0-9]{4}|\b[0-9]{3}[ .-][0-9]{3}[ .-][0-9]{4})\b",
        lambda text: _phone(text.lstrip(b"(")) and len(text),
    ),
)
PRESETS: Final[Mapping[str, Preset]] = {preset.name: preset for preset in _PRESETS}
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "pii": ("email", "iban", "card", "us-ssn", "phone"),
    "secrets": ("private-key", "jwt", "provider-key", "aws-key", "github-token"),
}


def preset_names(asked: Iterable[str]) -> list[str]:
    """The presets that some names of presets and groups mean, in the order in which they are looked for: what a card
    number is must not be taken for a telephone number first."""
    meant = {name for each in asked for name in GROUPS.get(each, (each,))}
    return [name for name in PRESETS if name in meant]
