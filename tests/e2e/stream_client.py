#!/usr/bin/env python3
"""One client library reads streams of `herd serve`, as a program that uses it would. Run by stream_clients_test.py, in
the Python environment that holds the library.

    stream_client.py CLIENT URL MODEL        CLIENT: a key of CLIENTS below

Protocol on standard input and output, a JSON object a line: the test sends {"name", "body", "headers"} for every stream
to open, all at once in threads; the client says {"name", "first": true} when a stream's first content is there, and at
its end {"name", "text", "finish", "error"}: the text put together, the finish reason, and the error as the library told
it ("" for none).
"""
import asyncio
import importlib.metadata
import json
import sys
import threading

CLIENT, URL, MODEL = sys.argv[1:4]
TIMEOUT_S = 600
# What the OpenAI client takes as arguments of its own; the rest of a body goes in as extra_body.
NAMED = {"messages", "max_tokens", "temperature", "stream_options"}
OUTPUT = threading.Lock()


def say(**line):
    with OUTPUT:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


class Seen:
    """What of a stream has come so far."""

    def __init__(self, name):
        self.name, self.text, self.finish, self.told = name, "", "", False

    def add(self, text, finish):
        if text and not self.told:
            self.told = True
            say(name=self.name, first=True)
        self.text += text or ""
        self.finish = finish or self.finish


def split(body):
    named = {key: value for key, value in body.items() if key in NAMED}
    return named, {key: value for key, value in body.items() if key not in NAMED and key != "stream"}


# --- the OpenAI client ---

def add_openai_chunk(seen, chunk):
    for choice in chunk.choices:
        seen.add(choice.delta.content, choice.finish_reason)


def openai_sync(seen, body, headers):
    import openai
    named, extra = split(body)
    with openai.OpenAI(base_url=f"{URL}/v1", api_key="x", max_retries=0, timeout=TIMEOUT_S) as client:
        for chunk in client.chat.completions.create(model=MODEL, stream=True, extra_body=extra, extra_headers=headers,
                                                    **named):
            add_openai_chunk(seen, chunk)


def openai_async(seen, body, headers):
    import openai
    named, extra = split(body)

    async def run():
        async with openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key="x", max_retries=0, timeout=TIMEOUT_S) as client:
            async for chunk in await client.chat.completions.create(model=MODEL, stream=True, extra_body=extra,
                                                                    extra_headers=headers, **named):
                add_openai_chunk(seen, chunk)

    asyncio.run(run())


# --- libraries on top of it ---

def litellm_arguments(body, headers):
    named, extra = split(body)
    return {"model": f"openai/{MODEL}", "api_base": f"{URL}/v1", "api_key": "x", "stream": True, "max_retries": 0,
            "num_retries": 0, "timeout": TIMEOUT_S, "extra_body": extra, "extra_headers": headers, **named}


def litellm_sync(seen, body, headers):
    import litellm
    for chunk in litellm.completion(**litellm_arguments(body, headers)):
        add_openai_chunk(seen, chunk)


def litellm_async(seen, body, headers):
    import litellm

    async def run():
        async for chunk in await litellm.acompletion(**litellm_arguments(body, headers)):
            add_openai_chunk(seen, chunk)

    asyncio.run(run())


def langchain_model(body, headers):
    from langchain_openai import ChatOpenAI
    named, extra = split(body)
    messages = [(message["role"], message["content"]) for message in named.pop("messages")]
    named.pop("stream_options", None)
    return ChatOpenAI(model=MODEL, base_url=f"{URL}/v1", api_key="x", max_retries=0, timeout=TIMEOUT_S,
                      default_headers=headers, extra_body=extra, stream_usage=True, **named), messages


def add_langchain_chunk(seen, chunk):
    seen.add(chunk.content, chunk.response_metadata.get("finish_reason"))


def langchain_sync(seen, body, headers):
    model, messages = langchain_model(body, headers)
    for chunk in model.stream(messages):
        add_langchain_chunk(seen, chunk)


def langchain_async(seen, body, headers):
    model, messages = langchain_model(body, headers)

    async def run():
        async for chunk in model.astream(messages):
            add_langchain_chunk(seen, chunk)

    asyncio.run(run())


# --- parsers of server-sent events ---

class ErrorEvent(Exception):
    pass


def add_event(seen, data):
    """False after the last event. An event without data is what a parser makes of a stray blank line."""
    if data == "[DONE]":
        return False
    event = json.loads(data)
    if "error" in event:
        raise ErrorEvent(event["error"]["message"])
    for choice in event["choices"]:
        seen.add(choice["delta"].get("content"), choice["finish_reason"])
    return True


def httpx_sse_sync(seen, body, headers):
    import httpx
    import httpx_sse
    with httpx.Client(timeout=TIMEOUT_S) as client, \
            httpx_sse.connect_sse(client, "POST", f"{URL}/v1/chat/completions", json=body, headers=headers) as source:
        for event in source.iter_sse():
            if not add_event(seen, event.data):
                return


def httpx_sse_async(seen, body, headers):
    import httpx
    import httpx_sse

    async def run():
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as client, httpx_sse.aconnect_sse(
                client, "POST", f"{URL}/v1/chat/completions", json=body, headers=headers) as source:
            async for event in source.aiter_sse():
                if not add_event(seen, event.data):
                    return

    asyncio.run(run())


def sseclient_py(seen, body, headers):
    import requests
    import sseclient
    answer = requests.post(f"{URL}/v1/chat/completions", json=body, stream=True, timeout=TIMEOUT_S,
                           headers={"Accept": "text/event-stream", **headers})
    for event in sseclient.SSEClient(answer).events():
        if not add_event(seen, event.data):
            return


def aiohttp_sse_client(seen, body, headers):
    import aiohttp
    from aiohttp_sse_client.client import EventSource

    async def run():
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with EventSource(f"{URL}/v1/chat/completions", option={"method": "POST"}, json=body, headers=headers,
                               timeout=timeout, max_connect_retry=0, read_bufsize=1 << 22) as source:
            async for event in source:
                if not add_event(seen, event.data):
                    return

    asyncio.run(run())


CLIENTS = {
    "openai": ("openai", openai_sync),
    "openai-async": ("openai", openai_async),
    "litellm": ("litellm", litellm_sync),
    "litellm-async": ("litellm", litellm_async),
    "langchain": ("langchain-openai", langchain_sync),
    "langchain-async": ("langchain-openai", langchain_async),
    "httpx-sse": ("httpx-sse", httpx_sse_sync),
    "httpx-sse-async": ("httpx-sse", httpx_sse_async),
    "sseclient-py": ("sseclient-py", sseclient_py),
    "aiohttp-sse-client": ("aiohttp-sse-client", aiohttp_sse_client),
}


def stream(read, name, body, headers):
    seen, error = Seen(name), ""
    try:
        read(seen, body, headers)
    except Exception as caught:  # whatever the library makes of it is the result
        error = f"{type(caught).__name__}: {caught}"[:500]
    say(name=name, text=seen.text, finish=seen.finish, error=error)


def main():
    package, read = CLIENTS[CLIENT]
    say(version=f"{package} {importlib.metadata.version(package)}")
    threads = []
    for line in sys.stdin:
        order = json.loads(line)
        threads.append(threading.Thread(target=stream, args=(read, order["name"], order["body"], order["headers"])))
        threads[-1].start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
