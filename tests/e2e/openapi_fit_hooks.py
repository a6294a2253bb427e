"""Loaded by schemathesis (see openapi_test.py): turns a body that fits the description into one that fits the model and
the other fields of the same body, which a schema cannot say. Such a body must be answered with 200."""
import schemathesis

import openapi_body_hooks  # noqa: F401  its hooks as well

VOCABULARY = 256  # ids below this exist in every model
TOKENS_MAX = 8    # so that a run ends soon


def fit_ids(value):
    if isinstance(value, list):
        return [fit_ids(element) for element in value]
    return value % VOCABULARY if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def fit_lengths(body):
    body.pop("max_completion_tokens", None)
    body["max_tokens"] = min(body.get("max_tokens") or TOKENS_MAX, TOKENS_MAX)
    body["min_tokens"] = min(body.get("min_tokens") or 0, body["max_tokens"])
    body["n"] = min(body.get("n") or 1, 2)
    body.pop("best_of", None)
    body.pop("priority", None)
    if isinstance(body.get("prompt"), list) and body["prompt"] and isinstance(body["prompt"][0], (str, list)):
        body["prompt"] = body["prompt"][:3]


def fit_generation(body):
    fit_lengths(body)
    if body.get("stream_options") is not None:
        body["stream"] = True
    if body.get("top_logprobs"):
        body["logprobs"] = True
    if body.get("logit_bias"):
        body["logit_bias"] = {str(int(key) % VOCABULARY): bias for key, bias in body["logit_bias"].items()}
    if isinstance(body.get("stop"), str):
        body["stop"] = body["stop"][:64]  # at most 4 bytes a character
    if isinstance(body.get("stop"), list):
        body["stop"] = [text[:64] for text in body["stop"]]


def fit_values(value):
    """Numbers that 64 bits hold."""
    if isinstance(value, dict):
        return {key: fit_values(element) for key, element in value.items()}
    if isinstance(value, list):
        return [fit_values(element) for element in value]
    return value % 1000 if isinstance(value, int) and not isinstance(value, bool) else value


def fit_conversation(body):
    for key in ("chat_template_kwargs", "documents", "messages", "tools"):
        if key in body:
            body[key] = fit_values(body[key])
    if body.get("continue_final_message"):
        body["add_generation_prompt"] = False


@schemathesis.hook
def map_body(context, body):
    if not isinstance(body, dict):
        return body
    body = dict(body)
    body.pop("model", None)
    for key in ("prompt", "tokens", "stop_token_ids"):
        if key in body:
            body[key] = fit_ids(body[key])
    fit_conversation(body)
    path = context.operation.path
    if path.startswith("/v1/"):
        fit_generation(body)
    return body
