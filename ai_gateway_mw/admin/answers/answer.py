"""What all answers are, and those that belong to no operation alone: errors, and the description of the plane."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """One that has what is said here and nothing else."""

    model_config = ConfigDict(extra="forbid")


class Told(Answer):
    """What is wrong."""

    code: str = Field(description="For programs; it does not change.", examples=["invalid_field"])
    message: str = Field(description="For people.", examples=["it has control characters"])
    field: str = Field("", description="What of the request is meant.", examples=["allowed_ips.0"])
    request_id: str = Field(description="As in the field `x-request-id`.")


class Error(Answer):
    """Every answer from 400 on."""

    error: Told


class OpenAPI(BaseModel):
    """This document."""

    model_config = ConfigDict(extra="allow")

    openapi: str
