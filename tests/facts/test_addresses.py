"""IP intelligence: what files of ranges and databases say of an address, and how a policy reads it."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from ai_gateway_mw.errors import PolicyError
from ai_gateway_mw.facts import Intelligence, load_intelligence
from tests.asgi import request
from tests.gateways import actions, gateway

YAML = """
ranges:
  - cidrs: [203.0.113.0/24, "2001:db8::/32"]
    categories: [com.example.office]
    as: {number: 64500, organization: EXAMPLE-NET}
    location: {country: Germany, country_code: DE, city: Berlin, latitude: "52.5", is_eu: true}
    registered_location: {country_code: US}
  - cidrs: [203.0.113.128/25]
    categories: [proxy.anonymous.tor]
    location: {country_code: FR}
  - cidrs: [198.51.100.7/32]
    categories: [blocklist.example.abusers]
  - cidrs: [192.0.2.0/24]
    is_on_blocklist: true
"""
CSV = """\
cidr,categories,as_number,as_organization,country_code,is_on_blocklist
203.0.113.0/24,com.example.office;com.other,AS64500,EXAMPLE-NET,DE,false
198.51.100.7/32,blocklist.example.abusers,,,,true
"""


def known(tmp_path: Path, **files: str) -> Intelligence:
    paths = []
    for name, text in files.items():
        path = tmp_path / name.replace("_", ".")
        path.write_text(dedent(text))
        paths.append(path)
    made = load_intelligence(paths)
    assert made is not None
    return made


def test_a_yaml_file(tmp_path: Path) -> None:
    facts = known(tmp_path, a_yaml=YAML).of("203.0.113.7")
    assert facts.categories == ["com", "com.example", "com.example.office"]
    assert (facts.as_number, facts.as_organization) == (64500, "EXAMPLE-NET")
    assert (facts.location["city"], facts.location["is_eu"], facts.registered_location["country_code"]) == (
        "Berlin",
        True,
        "US",
    )
    assert not facts.is_on_blocklist


def test_the_narrowest_range_counts_and_categories_add_up(tmp_path: Path) -> None:
    facts = known(tmp_path, a_yaml=YAML).of("203.0.113.200")
    assert facts.location["country_code"] == "FR"
    assert facts.as_number == 64500
    assert facts.is_tor_node
    assert {"com.example", "proxy.anonymous"} <= set(facts.categories)


@pytest.mark.parametrize(
    ("address", "blocked"),
    [("198.51.100.7", True), ("192.0.2.1", True), ("203.0.113.1", False), ("198.51.100.8", False)],
)
def test_blocklists(tmp_path: Path, address: str, blocked: bool) -> None:
    assert known(tmp_path, a_yaml=YAML).of(address).is_on_blocklist is blocked


@pytest.mark.parametrize("address", ["", "nonsense", "8.8.8.8", "::1"])
def test_of_other_addresses_nothing_is_known(tmp_path: Path, address: str) -> None:
    facts = known(tmp_path, a_yaml=YAML).of(address)
    assert (facts.categories or facts.location or facts.as_number or facts.is_on_blocklist) in ([], (), {}, 0, False)


@pytest.mark.parametrize("address", ["2001:db8::7", "::ffff:203.0.113.7"])
def test_both_versions_of_ip(tmp_path: Path, address: str) -> None:
    assert known(tmp_path, a_yaml=YAML).of(address).as_number == 64500


def test_a_csv_file(tmp_path: Path) -> None:
    made = known(tmp_path, a_csv=CSV)
    facts = made.of("203.0.113.7")
    assert facts.categories == ["com", "com.example", "com.example.office", "com.other"]
    assert (facts.as_number, facts.location["country_code"]) == (64500, "DE")
    assert made.of("198.51.100.7").is_on_blocklist


def test_the_first_file_that_says_something_counts(tmp_path: Path) -> None:
    first = "ranges: [{cidrs: [203.0.113.0/24], location: {country_code: CH}, categories: [com.first]}]"
    facts = known(tmp_path, a_yaml=first, b_csv=CSV).of("203.0.113.7")
    assert (facts.location["country_code"], facts.as_number) == ("CH", 64500)
    assert {"com.first", "com.other"} <= set(facts.categories)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.yaml", "ranges: [{cidrs: [1.2.3.4]}]", "write `1.2.3.4/32` for one address"),
        ("a.yaml", "ranges: [{cidrs: [1.2.3.0/24], catgories: []}]", "did you mean `categories`"),
        ("a.yaml", "[]", "expected a mapping"),
        ("a.csv", "cdir\n1.2.3.0/24\n", "unknown column `cdir`; did you mean `cidr`?"),
        ("a.csv", "cidr\n1.2.3.4\n", "a.csv:2:1"),
        ("a.csv", "cidr,is_on_blocklist\n1.2.3.0/24,perhaps\n", "`perhaps` is neither true nor false"),
        ("a.csv", "cidr,as_number\n1.2.3.0/24,x\n", "no number of an autonomous system"),
        ("a.csv", "", "no headings"),
        ("a.mmdb", "junk", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_says_what_is_wrong(tmp_path: Path, name: str, text: str, says: str) -> None:
    if name.endswith("mmdb"):
        pytest.importorskip("maxminddb", reason="the extra `geoip` is not installed")
    (tmp_path / name).write_text(text)
    with pytest.raises(PolicyError) as raised:
        load_intelligence([tmp_path / name])
    assert says in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for name in ("a.yaml", "a.csv"):
        with pytest.raises(PolicyError, match="cannot be read: No such file"):
            load_intelligence([tmp_path / name])


def test_no_files_are_no_intelligence() -> None:
    assert load_intelligence([]) is None


def test_databases_of_maxminds_format(tmp_path: Path) -> None:
    pytest.importorskip("maxminddb", reason="the extra `geoip` is not installed")
    from tests.facts.mmdb import database

    germany = {"iso_code": "DE", "names": {"en": "Germany"}, "is_in_european_union": True}
    city = {
        "city": {"names": {"en": "Berlin"}},
        "continent": {"names": {"en": "Europe"}},
        "country": germany,
        "registered_country": {"iso_code": "US", "names": {"en": "United States"}},
        "location": {"latitude": 52.5, "longitude": 13.25, "accuracy_radius": 100, "time_zone": "Europe/Berlin"},
        "postal": {"code": "10115"},
        "subdivisions": [{"names": {"en": "Land Berlin"}}],
    }
    (tmp_path / "city.mmdb").write_bytes(database({"203.0.113.0/24": city}))
    asn = {"autonomous_system_number": 64500, "autonomous_system_organization": "EXAMPLE-NET"}
    (tmp_path / "asn.mmdb").write_bytes(database({"203.0.113.0/25": asn}))
    made = load_intelligence([tmp_path / "city.mmdb", tmp_path / "asn.mmdb"])
    assert made is not None
    facts = made.of("203.0.113.7")
    assert facts.location == {
        "city": "Berlin", "continent": "Europe", "country": "Germany", "country_code": "DE", "is_eu": True,
        "latitude": "52.5", "longitude": "13.25", "radius": "100", "timezone": "Europe/Berlin", "postal_code": "10115",
        "subdivision": "Land Berlin",
    }  # fmt: skip
    assert (facts.registered_location["country_code"], facts.registered_location["is_eu"]) == ("US", False)
    assert (facts.as_number, facts.as_organization) == (64500, "EXAMPLE-NET")
    assert made.of("8.8.8.8").location == {}
    assert made.of("2001:db8::1").location == {}


def test_a_database_without_the_extra_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "maxminddb", None)
    with pytest.raises(PolicyError, match=r"ai-gateway-mw\[geoip\]"):
        load_intelligence([tmp_path / "a.mmdb"])


RULE = "'com.example' in conn.client_ip.categories && conn.geo.city == 'Berlin' && conn.client_ip.geo.location.is_eu"


@pytest.mark.anyio
async def test_a_policy_decides_by_it(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(YAML)
    made = gateway(actions("deny", expressions=[RULE]), ip_intelligence=tmp_path / "a.yaml")
    assert not [problem for problem in made.warnings if "IP_INTELLIGENCE" in problem.message]
    assert (await request(made.app, "GET", "/v1/models", client=("203.0.113.7", 1))).status == 403
    assert (await request(made.app, "GET", "/v1/models", client=("203.0.113.200", 1))).status == 404


def test_a_policy_says_what_is_wrong_with_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("ranges: 1")
    with pytest.raises(PolicyError, match="must be a list"):
        gateway(actions("deny", expressions=[RULE]), ip_intelligence=tmp_path / "a.yaml")
    gateway(actions("deny"), ip_intelligence=tmp_path / "a.yaml")  # nobody reads them


def test_without_files_it_loads_with_a_warning() -> None:
    made = gateway(actions("deny", expressions=["conn.client_ip.is_on_blocklist"]))
    assert [problem.severity for problem in made.warnings if "IP_INTELLIGENCE" in problem.message] == ["warning"]
