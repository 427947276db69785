"""Texts as UTF-8 takes them: a provider's JSON, or a piece of a stream, may break a character."""


def whole(text: str) -> str:
    """*text* with halves that stand together made one, and what is left of others replaced.

    A protobuf takes no other: an exporter would lose the attribute, or the whole batch.
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
