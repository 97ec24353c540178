from __future__ import annotations

import pytest

from ai_gateway_mw.errors import BadBody
from ai_gateway_mw.form import FormBody, form_boundary

FILE = b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav'


def form(*parts: tuple[bytes, bytes], boundary: bytes = b"B") -> bytes:
    body = b"".join(b"--" + boundary + b"\r\n" + head + b"\r\n\r\n" + text + b"\r\n" for head, text in parts)
    return body + b"--" + boundary + b"--\r\n"


def field(name: bytes, text: bytes, more: bytes = b"") -> tuple[bytes, bytes]:
    return b'Content-Disposition: form-data; name="' + name + b'"' + more, text


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b'multipart/form-data; boundary="a b:c"', b"a b:c"),
        (b"Multipart/Form-Data;Boundary=----WebKitFormBoundaryX", b"----WebKitFormBoundaryX"),
        (b"multipart/form-data; charset=utf-8; boundary=abc", b"abc"),
        (b"application/json", None),
        (b"multipart/mixed; boundary=abc", None),
        (b"multipart/form-dataX; boundary=abc", None),
        (b"multipart/form-data boundary=abc", None),
        (b"", None),
    ],
)
def test_the_boundary_stands_in_the_content_type(content_type: bytes, boundary: bytes | None) -> None:
    assert form_boundary(content_type) == boundary


@pytest.mark.parametrize(
    "content_type",
    [
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b"multipart/form-data; boundary=a; boundary=b",
        b"multipart/form-data; Boundary=a; boundary=a",
        b'multipart/form-data; x="; boundary=a; y="; boundary=b',
        b'multipart/form-data; x="\\"; boundary=a',
        b"multipart/form-data; boundary=a b",
        b"multipart/form-data; boundary=" + b"x" * 71,
        b'multipart/form-data; boundary="a "',
    ],
)
def test_an_unclear_boundary_is_refused(content_type: bytes) -> None:
    with pytest.raises(BadBody):
        form_boundary(content_type)


def test_text_fields_are_read_and_files_left_alone() -> None:
    body = FormBody(
        form(field(b"model", b"whisper-1"), (FILE, b"\x00\r\n\r\n--A\xff"), field(b"n", "é".encode())), b"B"
    )
    assert body.value == {"model": "whisper-1", "n": "é"}
    assert (body.get("model"), body.get("file"), body.get("z")) == ("whisper-1", None, None)
    assert body.names == {"model", "n"}


@pytest.mark.parametrize(
    "head",
    [
        b'content-disposition:form-data;name="model"',
        b"Content-Disposition: form-data; name=model",
        b'Content-Disposition: form-data ; name = "model"',
        b'Content-Type: text/plain\r\nContent-Disposition: form-data; name="model"',
        b'Content-Disposition: form-data; name="model"\r\nContent-Transfer-Encoding: 8BIT',
    ],
)
def test_the_name_of_a_part_is_found(head: bytes) -> None:
    assert FormBody(form((head, b"m")), b"B").value == {"model": "m"}


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"", id="none"),
        pytest.param(b"Content-Type: text/plain", id="no disposition"),
        pytest.param(b"Content-Disposition: form-data", id="no name"),
        pytest.param(b'Content-Disposition: attachment; name="model"', id="no form-data"),
        pytest.param(b'Content-Disposition: form-data; name="model"; x="filename"', id="what looks like a file"),
        pytest.param(b'Content-Disposition: form-data; name="model"; filename="f"', id="the model as a file"),
        pytest.param(b'Content-Disposition: form-data; filename="f"; name="model"', id="the other way round"),
        pytest.param(b"Content-Disposition: form-data; name=\"a\"; name*=utf-8''model", id="a second name"),
        pytest.param(b'Content-Disposition: form-data; name="a"; name="model"', id="two names"),
        pytest.param(b'Content-Disposition: form-data; name="mo\\del"', id="an escape in the name"),
        pytest.param(b'Content-Disposition: form-data; name="Model"', id="another spelling"),
        pytest.param(b'Content-Disposition: form-data; name="a"\r\ncontent-disposition: form-data; name=b', id="twice"),
        pytest.param(b'X: y\nContent-Disposition: form-data; name="model"', id="bare line feed"),
        pytest.param(b'Content-Disposition: form-data;\r\n name="model"', id="folded line"),
        pytest.param(b'Content-Disposition : form-data; name="model"', id="blank before the colon"),
        pytest.param(b'X: content-disposition: form-data; name="model"', id="in another field"),
        pytest.param(b'Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64', id="encoded"),
        pytest.param(b'Content-Disposition: form-data; name="a"; name="', id="open quote"),
    ],
)  # fmt: skip
def test_parts_that_two_parsers_could_read_in_two_ways_are_refused(head: bytes) -> None:
    with pytest.raises(BadBody):
        FormBody(form((head, b"m")), b"B")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b'{"model":"m"}', id="JSON"),
        pytest.param(b"--B", id="a delimiter only"),
        pytest.param(b"--B\r\n", id="no part"),
        pytest.param(b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\nx', id="no end"),
        pytest.param(b"preamble\r\n" + form(field(b"a", b"x")), id="preamble"),
        pytest.param(b"x--B\r\n" + form(field(b"a", b"x")), id="delimiter within a line"),
        pytest.param(form(field(b"a", b"x")).replace(b"\r\n", b"\n"), id="bare line feeds"),
        pytest.param(b"--B\r\n\r\nContent-Disposition: form-data; name=model\r\n\r\nm\r\n--B--", id="in the text"),
        pytest.param(form(field(b"model", b"a"), field(b"model", b"b")), id="two models"),
        pytest.param(form(field(b"model", b"a"), field(b"model", b"a")), id="two models alike"),
        pytest.param(form(field(b"model", b"a"), field(b"MODEL", b"b")), id="model and MODEL"),
        pytest.param(form(*[field(b"a", b"x")] * 65), id="65 parts"),
    ],
)  # fmt: skip
def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(BadBody):
        FormBody(body, b"B")


def test_a_field_may_come_again_where_nothing_depends_on_it() -> None:
    parts = [field(b"timestamp_granularities[]", b"word"), field(b"timestamp_granularities[]", b"segment")]
    assert FormBody(form(*parts), b"B").names == {"timestamp_granularities[]"}


def test_edits_replace_text_and_nothing_else() -> None:
    raw = form(field(b"model", b"a"), (FILE, b"\x00\xff"), field(b"n", b"1"))
    body = FormBody(raw, b"B")
    made = body.edited({"model": "longer-name", "n": "2", "z": "3", "k": {}}, frozenset({"n"}))
    assert made == form(field(b"model", b"longer-name"), (FILE, b"\x00\xff"), field(b"n", b"2"))
    assert body.edited({}) == raw


def test_a_megabyte_of_delimiters_is_read_in_linear_time() -> None:
    with pytest.raises(BadBody):
        FormBody(b"--B\r\n" + b"\r\n--" * 300_000, b"B")
