#!/usr/bin/env bash
# From a fresh clone to an answer: installs what is missing (Debian packages), builds herd, gets a real chat model
# and asks it a question on two tensor-parallel ranks.
. "$(dirname "$0")/tools/prepare.sh"

install_packages
build release herd
herd=$herd_root/build/release/herd

if fetch_smollm2; then
  model=$smollm2
  question="Are dogs real?"
else
  echo "The real model could not be fetched; using the toy model that ships with herd instead."
  model=$herd_root/config/demo_model
  question="What is the capital of France?"
fi

say "$question"
"$herd" generate --model-path "$model" -tp 2 --instruct --prompt "$question" --max-new-tokens 100

cat <<TEXT

Try next:
  build/release/herd generate --prompt "The capital of France is"            # the toy model that ships with herd
  build/release/herd generate ${model#"$herd_root"/} --instruct --prompt "Tell me a joke." --temperature 0.8 --seed 7
  build/release/herd serve ${model#"$herd_root"/}                # http://127.0.0.1:8000/v1, for any OpenAI client
  build/release/herd inspect ${model#"$herd_root"/}
  build/release/herd bench latency ${model#"$herd_root"/}
  build/release/herd generate /path/to/Llama-3.2-1B-Instruct --instruct --prompt "Hello"   # a Hugging Face directory
  bash tests/run.sh                                                           # every test, with a table at the end
TEXT
