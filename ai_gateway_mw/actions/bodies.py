"""Editing the bodies of requests and answers: what is read, what is passed over, and what follows from a change."""

from __future__ import annotations

import logging
from typing import Final

from ai_gateway_mw.actions.replacing import Edit, check_json, edited_text, unpacked
from ai_gateway_mw.context import Context
from ai_gateway_mw.form import FormBody
from ai_gateway_mw.texts import is_text, media_type_of

_log = logging.getLogger("ai_gateway_mw.policy")

# What speaks of the bytes of a body, and is wrong once they are others (RFC 9110 8.6, 8.8.3; RFC 9530).
_OF_CONTENT: Final = (b"etag", b"content-md5", b"digest", b"content-digest", b"repr-digest", b"accept-ranges")
_WITHOUT_BODY: Final = frozenset({204, 304})


async def edit_request(ctx: Context, edit: Edit) -> None:
    """Edit the body of the request, if it is text; a form, field by field. Raises `BodyNotEdited`."""
    body = await ctx.read_body()
    content_type = ctx.request_fields.get(b"content-type") or b""
    is_ai = ctx.route is not None and ctx.route.task == "generate"
    if not body:
        return
    if media_type_of(content_type) == "multipart/form-data":
        made = _edited_form(ctx, edit)
    elif is_ai or not content_type or is_text(media_type_of(content_type)):
        # On an AI path the body is read as JSON, whatever the client calls it.
        made = edited_text(body, b"" if is_ai else content_type, edit, most=ctx.limits.max_body)
        check_json(body, made)
    else:
        return
    if made is not body:
        ctx.replace_body(made)


def _edited_form(ctx: Context, edit: Edit) -> bytes:
    form = ctx.payload
    assert isinstance(form, FormBody)
    changes = {}
    for name, text in form.value.items():
        before = text.encode()
        if (after := edited_text(before, b"", edit, most=ctx.limits.max_body)) is not before:
            changes[name] = after.decode("utf-8", "replace")
    return form.edited(changes) if changes else form.raw


async def edit_answer(ctx: Context, edit: Edit, action: str) -> None:
    """Edit the body of the answer whose head is held, if it is text and no event stream. Raises `BodyNotEdited`."""
    response, body = ctx.response, ctx.answer_body
    if response is None or body is None or ctx.method == "HEAD" or response.status in _WITHOUT_BODY:
        return
    fields = response.fields
    content_type = fields.get(b"content-type") or b""
    media_type = media_type_of(content_type)
    if media_type == "text/event-stream":
        _log.warning(
            "request %s: %s leaves event streams alone; rules for them are on_event_stream_message", ctx.id, action
        )
        return
    if content_type and not is_text(media_type):
        return
    before = await body.read()
    encodings = fields.all(b"content-encoding")
    plain = unpacked(before, encodings, ctx.limits.max_body)
    made = edited_text(plain, content_type, edit, most=ctx.limits.max_body)
    check_json(plain, made)
    if made is plain:
        return
    body.edited = made
    for name in (b"content-length", b"transfer-encoding", b"content-encoding", *_OF_CONTENT):
        fields.remove(name)
    fields.append(b"content-length", b"%d" % len(made))  # it is whole, even if it came without a length
