"""What the words of an error say beyond its status, and instead of one that it does not have."""

from __future__ import annotations

from collections.abc import Set
from typing import NamedTuple

from ai_gateway_mw.upstream.error_bodies import ErrorBody, read_error
from ai_gateway_mw.upstream.outcome import Outcome, outcome_of


class _Saying(NamedTuple):
    """Codes, or first words of a message, that say more than the status.

    Only its first words: further on, a message may repeat what the client wrote.
    """

    statuses: Set[int]
    words: Set[str]
    phrases: tuple[str, ...]
    outcome: Outcome


_REFUSALS = frozenset([400, 401, 403, 404, 412, 429])
_QUOTA = frozenset(
    ["insufficient_quota", "billing_error", "credit_balance_exhausted", "billing_hard_limit_reached"]
    + ["organization_spend_limit_exceeded", "project_spend_limit_exceeded", "organization_usage_limit_exceeded"]
    + ["enforced_spend_limit_reached", "contract_spend_limit_reached", "organization_on_hold", "billing_not_active"]
    + ["quota_per_day", "3036"]  # of Google, see `error_bodies`; of Cloudflare
)
_NO_MODEL_WORDS = frozenset(
    ["model_not_found", "model_not_available", "deployment_not_found", "deploymentnotfound", "unknown_model"]
    + ["model_decommissioned", "invalid_model", "model_terms_required", "model_permission_blocked_org"]
)
_BAD_KEY = frozenset(["invalid_api_key", "api_key_invalid", "api_key_expired", "account_deactivated"])
# What OpenAI's responses say of a request that they cannot serve: there is no type beside these codes.
_BAD_REQUEST = frozenset(
    ["context_length_exceeded", "invalid_prompt", "content_filter", "content_policy_violation", "bio_policy"]
    + ["misalignment_policy_violation", "image_content_policy_violation", "data_residency_mismatch"]
    + ["invalid_image", "invalid_image_format", "invalid_base64_image", "invalid_image_url", "invalid_image_mode"]
    + ["image_too_large", "image_too_small", "image_parse_error", "image_file_too_large", "image_file_not_found"]
    + ["unsupported_image_media_type", "empty_image_file", "failed_to_download_image"]
)
# The first that matches counts. Sources: the pages on errors of OpenAI, Anthropic, Google (AIP-193, ErrorInfo), Azure,
# OpenRouter, Groq, Mistral, Together, Fireworks, xAI, Cloudflare.
_SAYINGS = (
    _Saying(
        _REFUSALS,
        _QUOTA,
        ("your credit balance is too low", "you have reached your specified api usage limits")
        + ("your newly created team", "you have used up your daily free allocation", "insufficient balance"),
        Outcome.QUOTA_EXHAUSTED,
    ),
    _Saying({412}, frozenset(), ("account ",), Outcome.QUOTA_EXHAUSTED),  # Fireworks: suspended
    _Saying({429, 503}, {"slow_down", "ramp_limit_exceeded"}, (), Outcome.SLOWED_DOWN),
    _Saying(
        {429},
        {
            "overloaded_error",
            "server_is_overloaded",
            "model_capacity_exhausted",
            "service_tier_capacity_exceeded",
            "3505",
        },
        ("service tier capacity exceeded", "no capacity available"),
        Outcome.BUSY,
    ),
    _Saying(
        {400, 403},
        {"unsupported_country_region_territory", "unsupported_country", "unsupported_region"},
        ("country, region, or territory not supported", "user location is not supported"),
        Outcome.REGION_REFUSED,
    ),
    _Saying(
        {403},
        {"content_policy_violation", "moderation", "content_filter", "guardrail"},
        ("input token count", "input validation error"),  # Together: a prompt that is too long
        Outcome.CLIENT_FAULT,
    ),
    _Saying(
        {400}, _BAD_KEY, ("api key not valid", "incorrect api key provided", "api key expired"), Outcome.KEY_REJECTED
    ),
    _Saying(
        {403},
        _BAD_KEY | {"authentication_error", "consumer_suspended", "consumer_invalid"},
        ("api key not valid", "incorrect api key provided", "your api key was reported as leaked"),
        Outcome.KEY_REJECTED,
    ),
)
# What an error says that came without a status of its own: in an event, or under 200.
_STATUS_OF = (
    (402, _QUOTA),
    (429, {"rate_limit_error", "rate_limit_exceeded", "resource_exhausted", "rate_limited", "too_many_requests"}),
    (401, {"authentication_error", "unauthenticated"} | _BAD_KEY),
    (403, {"permission_error", "permission_denied"}),
    (404, {"not_found_error", "not_found"} | _NO_MODEL_WORDS),
    (413, {"request_too_large"}),
    (400, {"invalid_request_error", "invalid_argument"} | _BAD_REQUEST),
    (529, {"overloaded_error"}),
    (503, {"unavailable", "server_is_overloaded", "service_unavailable", "slow_down"}),
    (504, {"timeout_error", "deadline_exceeded"}),
)


def outcome_of_error(status: int, body: bytes, *, of_model: bool = True) -> Outcome:
    """What an error status says together with its body; `of_model` is whether the request was for a model at all."""
    outcome = outcome_of(status)
    if status not in _REFUSALS and outcome is not Outcome.UNAVAILABLE:
        return outcome
    return _said(status, read_error(body), of_model) or outcome


def outcome_of_error_object(body: bytes, *, of_model: bool = True) -> Outcome:
    """What an error says that came where an answer should have: as an event, or as the body of a 200."""
    error = read_error(body)
    status = status_of_error(error)
    return _said(status, error, of_model) or outcome_of(status)


def status_of_error(error: ErrorBody) -> int:
    """The status that an error would have had, 500 where it does not say."""
    if error.words & _QUOTA:
        return 402
    for word in error.words:
        if len(word) == 3 and word.isdecimal() and word >= "400":
            return int(word)
    return next((status for status, words in _STATUS_OF if error.words & words), 500)


def _said(status: int, error: ErrorBody, of_model: bool) -> Outcome | None:
    for saying in _SAYINGS:
        if status in saying.statuses and error.says(saying.words, saying.phrases):
            return saying.outcome
    about_model = error.words & _NO_MODEL_WORDS or (status == 404 and "model" in error.message)
    return Outcome.MODEL_UNAVAILABLE if of_model and about_model and status in (400, 403, 404) else None
