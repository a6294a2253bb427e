"""Loaded by schemathesis (see openapi_test.py): keeps out what nearly every request would be refused for, so that each
wrong field is met by itself: made-up values of X-Request-Timeout and Last-Event-ID, no tokens without an echo."""
import schemathesis


@schemathesis.hook
def before_load_schema(context, raw_schema):
    raw_schema["paths"].pop("/v1/models/{model}")  # a name and no body: the run before makes those up
    for methods in raw_schema["paths"].values():
        for operation in methods.values():
            operation.pop("parameters", None)
    for name in ("max_tokens", "max_completion_tokens"):
        raw_schema["components"]["schemas"]["CompletionRequest"]["properties"][name]["minimum"] = 1
