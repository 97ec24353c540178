"""What is written about prices: US dollars, for a million tokens of text or for one use of a tool."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ai_gateway_mw.policy import ActionConfig

Price = Annotated[float, Field(ge=0)]


class TextPrices(ActionConfig):
    """US dollars for a million tokens."""

    input: Price | None = Field(None, description="Prompt tokens.")
    output: Price | None = Field(None, description="Completion tokens.")
    input_cache_write: Price | None = Field(None, description="Prompt tokens written to a cache; `input` at least.")
    input_cache_read: Price | None = Field(None, description="Prompt tokens read from the provider's cache.")
    input_batch: Price | None = Field(None, description="Prompt tokens of batch requests.")
    output_batch: Price | None = Field(None, description="Completion tokens of batch requests.")


class WebSearchPrices(ActionConfig):
    """US dollars for web searches."""

    per_search_call: Price | None = Field(None, description="One search.")


class CodeInterpreterPrices(ActionConfig):
    """US dollars for the code interpreter."""

    per_execution_call: Price | None = Field(None, description="One execution.")


class FileSearchPrices(ActionConfig):
    """US dollars for file search."""

    per_storage_gb: Price | None = Field(None, description="One gigabyte in store for one day.")


class ImageGenerationPrices(ActionConfig):
    """US dollars for images made as a tool."""

    per_image_generation: Price | None = Field(None, description="One image.")


class ToolPrices(ActionConfig):
    """Prices of tools that the provider runs."""

    web_search: WebSearchPrices | None = Field(None, description="Web search.")
    code_interpreter: CodeInterpreterPrices | None = Field(None, description="Code interpreter.")
    file_search: FileSearchPrices | None = Field(None, description="File search.")
    image_generation: ImageGenerationPrices | None = Field(None, description="Image generation.")


class PricingDocument(ActionConfig):
    """What a model costs."""

    text: TextPrices | None = Field(None, description="Prices of text, for a million tokens.")
    tools: ToolPrices | None = Field(None, description="Prices of tools, for each use.")
