"""Conversations as task files hold them: `messages`, which may stand in for a prompt."""

from elicit.tasks.faults import kind, shown

Message = dict[str, str]
"""One turn of a conversation: `{"role": "user", "content": ...}`."""


def conversation(
    value: object,
) -> tuple[tuple[Message, ...], dict[str, object], list[tuple[str, str]]]:
    """History and fields of a problem that `messages` stands for, and what is wrong with it.

    The last turn of the user is the prompt and what comes before it the history; a closing turn of
    the assistant is the trace.
    """
    fix = 'Write [{"role": "user", "content": "..."}], ending with the user or the assistant'
    if not isinstance(value, list) or not value:
        return (), {}, [(f"'messages' is {kind(value)}, not a list of turns", fix)]
    turns: list[Message] = []
    for place, turn in enumerate(value, start=1):
        if not isinstance(turn, dict) or not all(
            isinstance(turn.get(key), str) for key in ("role", "content")
        ):
            return (), {}, [(f"turn {place} of 'messages' is {shown(turn)}", fix)]
        turns.append({"role": turn["role"], "content": turn["content"]})
    said: dict[str, object] = {}
    if turns[-1]["role"] == "assistant":
        said["trace"] = turns.pop()["content"]
    if not turns or turns[-1]["role"] != "user":
        return (), {}, [("'messages' has no turn of the user that could be answered", fix)]
    return tuple(turns[:-1]), said | {"prompt": turns[-1]["content"]}, []
