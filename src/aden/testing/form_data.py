"""``multipart/form-data``, as the local server reads it."""

from __future__ import annotations

from email.parser import BytesParser


def read_form(kind: str, raw: bytes) -> dict[str, object]:
    """Return the fields of a form: texts, files as bytes, lists of what is named ``…[]``."""
    head = f"Content-Type: {kind}\r\n\r\n".encode("latin-1")
    form: dict[str, object] = {}
    for part in BytesParser().parsebytes(head + raw).walk():
        name = part.get_param("name", header="content-disposition")
        if part.is_multipart() or not isinstance(name, str):
            continue
        payload = part.get_payload(decode=True)
        data = payload if isinstance(payload, bytes) else b""
        value: object = data if part.get_filename() is not None else data.decode("utf-8", "replace")
        if name.endswith("[]"):
            several = form.setdefault(name[:-2], [])
            assert isinstance(several, list)
            several.append(value)
        else:
            form[name] = value
    return form
