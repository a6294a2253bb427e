#!/usr/bin/env bash
# Client libraries of OpenAI's API and of server-sent events read herd's streams across long pauses: the newest and an
# older release of the OpenAI client, LiteLLM, LangChain, four parsers of events, node's EventSource, llama-benchy.
#     tests/e2e/stream_clients.sh HERD [--pause SECONDS (25)] [other flags of stream_clients_test.py]
# Makes its Python environments under .cache/herd/clients (about 700 MB), from PyPI, at first.
. "$(dirname "$0")/../../tools/prepare.sh"
herd=$(realpath "$1")
shift
clients=$herd_cache/clients

# environment NAME REQUIREMENT...
environment() {
  local folder=$clients/$1
  shift
  [ -x "$folder/bin/python" ] || python3 -m venv "$folder"
  "$folder/bin/pip" install -q --disable-pip-version-check "$@"
}
environment newest openai==3.57.0 litellm==1.110.2 langchain-openai==1.7.4 httpx-sse==0.4.3 sseclient-py==1.9.0 \
  aiohttp-sse-client==0.2.1 requests==2.34.2
environment older openai==2.8.1  # a year before the newest
environment benchy -r tests/requirements.txt
environment benchy --no-deps llama-benchy==0.4.0
install_packages nodejs node-eventsource

python=$clients/newest/bin/python
all=openai,openai-async,litellm,litellm-async,langchain,langchain-async
all+=,httpx-sse,httpx-sse-async,sseclient-py,aiohttp-sse-client
exec "$python" tests/e2e/stream_clients_test.py "$herd" --pause 25 --python "$python:$all" \
  --python "$clients/older/bin/python:openai,openai-async" --benchy "$clients/benchy/bin/python" "$@"
