"""Prices: where they come from, in which order, and what tokens cost by them."""

from __future__ import annotations

import socket
from collections.abc import Collection
from typing import Any

import pytest

from ai_gateway_mw.providers import Catalog, Model, Provider, configured
from ai_gateway_mw.usage import DEAR, FREE, ListPrice, Price, Prices, UnknownPrice, bundled_list, dollars, no_list

GPT_4O = Price(input=2_500_000_000, output=10_000_000_000, cached=1_250_000_000)


def model(name: str = "m", provider: Provider | None = None, **more: Any) -> Model:
    return Model(id=name, provider=provider or Provider(id="openai"), upstream_id=name, **more)


def text(**prices: float) -> dict[str, Any]:
    return {"text": prices}


class Lists:
    """A price list that counts how often it is asked."""

    def __init__(self, **known: ListPrice) -> None:
        self._known = known
        self.asked: list[tuple[frozenset[str], str]] = []

    def __call__(self) -> Lists.Asked:
        return self.Asked(self)

    class Asked:
        def __init__(self, lists: Lists) -> None:
            self._lists = lists

        def __call__(self, provider: Collection[str], name: str) -> ListPrice | None:
            self._lists.asked.append((frozenset(provider), name))
            return self._lists._known.get(name)


@pytest.mark.parametrize(
    ("tokens", "cost"),
    [
        ((0, 0, 0), 0),
        ((1_000_000, 0, 0), 2_500_000_000),
        ((0, 1_000_000, 0), 10_000_000_000),
        ((1_000_000, 0, 1_000_000), 1_250_000_000),
        ((1_000, 200, 400), 600 * 2_500 + 400 * 1_250 + 200 * 10_000),
        ((10, 0, 99), 10 * 1_250),
    ],
    ids=["nothing", "input", "output", "cached", "all", "more cached than read"],
)
def test_tokens_cost_what_the_price_says(tokens: tuple[int, int, int], cost: int) -> None:
    assert GPT_4O.cost(*tokens) == cost


@pytest.mark.parametrize(
    ("tokens", "cost"),
    [((1_000, 0, 0, 400), 1_000 * 3_000 + 400 * 750), ((1_000, 0, 900, 400), 100 * 3_750 + 900 * 300)],
    ids=["written", "more written than is left"],
)
def test_tokens_that_go_into_a_cache_have_a_price_of_their_own(tokens: tuple[int, int, int, int], cost: int) -> None:
    pricing = text(input=3, output=15, input_cache_read=0.3, input_cache_write=3.75)
    price = Prices(lambda: no_list).of(model(pricing=pricing))
    assert price is not None
    assert price.cost(*tokens) == cost


def test_a_token_that_goes_into_a_cache_costs_no_less_than_another() -> None:
    """Some lists have less for it: what is reserved would be too little where nothing goes into the cache."""
    price = Prices(lambda: no_list).of(model(pricing=text(input=3, output=15, input_cache_write=0.5)))
    assert price == Price(3 * 10**9, 15 * 10**9, 3 * 10**9)


def test_a_cost_is_rounded_up_and_exact_for_large_numbers() -> None:
    assert Price(1, 0, 0).cost(1, 0, 0) == 1
    assert Price(1_000_001, 0, 0).cost(10**12 + 1, 0, 0) == -(-(10**12 + 1) * 1_000_001 // 1_000_000)


@pytest.mark.parametrize(
    ("pricing", "price"),
    [
        (text(input=2.5, output=10, input_cache_read=1.25), GPT_4O),
        (text(input=0.1, output=0.3), Price(100_000_000, 300_000_000, 100_000_000)),
        (text(input=0, output=0), FREE),
        (text(input=1e-10, output=0), Price(1, 0, 1)),
        (text(output=10), None),
        (text(input=10), None),
        ({}, None),
    ],
    ids=["all", "no cache", "free", "tiny", "output only", "input only", "none"],
)
def test_a_models_own_price_counts(pricing: dict[str, Any], price: Price | None) -> None:
    assert Prices(lambda: no_list).of(model(pricing=pricing)) == price


def test_an_embedding_has_no_output_that_could_cost() -> None:
    price = Prices(lambda: no_list).of(model(pricing=text(input=0.02), kind="embedding"))
    assert price == Price(20_000_000, 0, 20_000_000)


def test_the_list_is_asked_by_the_providers_names_for_what_the_model_is_called_there() -> None:
    lists = Lists(real=ListPrice(1, 2))
    provider = Provider(id="OpenAI", id_aliases=("open-ai",))
    found = Prices(lists).of(Model(id="alias", provider=provider, upstream_id="real"))
    assert found == Price(1_000_000_000, 2_000_000_000, 1_000_000_000)
    assert lists.asked == [(frozenset({"openai", "open-ai"}), "real")]


def test_the_policy_comes_before_the_list() -> None:
    lists = Lists(m=ListPrice(1, 2))
    assert Prices(lists).of(model(pricing=text(input=2.5, output=10, input_cache_read=1.25))) == GPT_4O
    assert lists.asked == []


def test_a_price_is_looked_up_once_also_for_models_that_are_made_anew_for_each_request() -> None:
    lists = Lists()
    prices = Prices(lists)
    provider = Provider(id="openai")
    assert [prices.of(provider.passthrough("x")) for _ in range(3)] == [None] * 3
    assert len(lists.asked) == 1


def test_a_policy_that_was_loaded_again_has_its_new_prices() -> None:
    prices = Prices(lambda: no_list)
    assert prices.of(model(pricing=text(input=1, output=1))) == Price(10**9, 10**9, 10**9)
    assert prices.of(model(pricing=text(input=2, output=2))) == Price(2 * 10**9, 2 * 10**9, 2 * 10**9)


def test_the_names_that_clients_make_up_do_not_fill_the_memory() -> None:
    prices = Prices(Lists())
    provider = Provider(id="openai")
    for number in range(25_000):
        prices.of(provider.passthrough(str(number)))
    assert len(prices._known) <= 10_000


@pytest.mark.parametrize(
    ("unknown", "price"), [("deny", None), ("zero", FREE), ("estimate", DEAR)], ids=["deny", "zero", "estimate"]
)
def test_an_unknown_price_is_what_the_setting_makes_of_it(unknown: UnknownPrice, price: Price | None) -> None:
    assert Prices(lambda: no_list).applied(model(), unknown) == price


@pytest.mark.parametrize("unknown", ["deny", "zero", "estimate"])
def test_a_known_price_needs_no_setting(unknown: UnknownPrice) -> None:
    assert Prices(lambda: no_list).applied(model(pricing=text(input=0, output=0)), unknown) == FREE


def test_an_estimate_is_as_dear_as_the_dearest_models_of_the_provider() -> None:
    provider = Provider(id="p")
    provider.own(
        [
            model("a", provider, pricing=text(input=1, output=9, input_cache_read=0.1)),
            model("b", provider, pricing=text(input=3, output=4)),
            model("c", provider, pricing=text(input=0, output=0)),
            model("d", provider),
        ]
    )
    price = Prices(lambda: no_list).applied(provider.passthrough("new"), "estimate")
    assert price == Price(3 * 10**9, 9 * 10**9, 3 * 10**9)


# The bundled list -----------------------------------------------------------------------------------------------------


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("nothing may be fetched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_the_bundled_list_knows_prices_without_the_network(offline: None) -> None:
    pytest.importorskip("genai_prices")
    found = bundled_list()(("open-ai", "openai"), "gpt-4o")
    assert found is not None
    assert Price.of_dollars(found) == GPT_4O


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("my-openai-proxy", "gpt-4o"),
        ("nobody", "gpt-4o"),
        ("openai", "no-such-model"),
        ("openai", "gpt-4o" * 100),
        ("azure", "mai-ds-r1:free"),
    ],
    ids=["name that resembles", "unknown provider", "unknown model", "too long", "no price of tokens"],
)
def test_the_bundled_list_does_not_guess(provider: str, name: str) -> None:
    pytest.importorskip("genai_prices")
    assert bundled_list()((provider,), name) is None


def test_the_list_takes_the_price_of_short_prompts() -> None:
    pytest.importorskip("genai_prices")
    found = bundled_list()(("google",), "gemini-2.5-pro")
    assert found is not None
    assert (found.input, found.output) == (1.25, 10)


def test_most_models_of_the_catalogue_that_chat_have_a_price() -> None:
    providers = configured(Catalog.load(), ())
    prices = Prices()
    chat = [each for provider in providers for each in provider.models if each.kind == "chat"]
    assert sum(prices.of(each) is not None for each in chat) > 0.8 * len(chat) > 0


@pytest.mark.parametrize(
    ("nano", "shown"),
    [(0, "0.00"), (1, "0.000000001"), (2_500_000, "0.0025"), (12_000_000_000, "12.00"), (1_500_000_000, "1.50")],
)
def test_money_is_shown_exactly(nano: int, shown: str) -> None:
    assert dollars(nano) == shown
