// A GGUF model of architecture "llama" as a checkpoint, and the vocabulary's keys.

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/checkpoint/checkpoint_source.h"
#include "runtime/checkpoint/gguf_config.h"
#include "runtime/checkpoint/gguf_metadata.h"
#include "runtime/checkpoint/gguf_tensor_names.h"
#include "runtime/checkpoint/text_parts.h"
#include "runtime/tokenizer/gguf_vocabulary.h"

namespace herd::model {
namespace {

void add_tensors(const GgufFile& file, StoredModel& model) {
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.name == kRopeDivisors) continue;  // part of the config now
    StoredTensor& stored = model.tensors.emplace_back();
    stored.info.name = hugging_face_name(tensor.name);
    stored.info.source_name = std::string(tensor.name);
    stored.info.encoding = tensor.encoding_text();
    stored.info.bytes = tensor.end - tensor.begin;
    stored.info.file = file.file();
    stored.shape = tensor.shape;
    stored.encoding = tensor.encoding();
    stored.bytes = file.bytes();
    stored.begin = tensor.begin;
    stored.interleaved = is_interleaved(stored.info.name);
  }
}

}  // namespace

Expected<StoredModel> read_gguf_model(std::vector<GgufFile> parts) {
  StoredModel model;
  model.config_file = parts.front().file();
  auto config = read_gguf_config(parts, model.warnings);
  if (!config) return fail(config.error());
  model.config = std::move(*config);
  auto generation = read_gguf_generation(parts.front());
  if (!generation) return fail(generation.error());
  model.generation = std::move(*generation);
  read_text_parts(parts.front(), model.text);
  for (const GgufFile& part : parts) add_tensors(part, model);
  model.gguf = std::make_unique<GgufFile>(std::move(parts.front()));
  return model;
}

Expected<tokenizer::GgufVocabulary> gguf_vocabulary(const GgufFile& file) {
  GgufMetadata metadata(file);
  tokenizer::GgufVocabulary vocabulary;
  vocabulary.model = metadata.string("tokenizer.ggml.model");
  vocabulary.pre = metadata.string("tokenizer.ggml.pre");
  vocabulary.bos_id = metadata.token_id("tokenizer.ggml.bos_token_id");
  vocabulary.eos_id = metadata.token_id("tokenizer.ggml.eos_token_id");
  vocabulary.eot_id = metadata.token_id("tokenizer.ggml.eot_token_id");
  vocabulary.unknown_id = metadata.token_id("tokenizer.ggml.unknown_token_id");
  vocabulary.add_bos = metadata.boolean("tokenizer.ggml.add_bos_token");
  vocabulary.add_eos = metadata.boolean("tokenizer.ggml.add_eos_token");
  vocabulary.add_space_prefix = metadata.boolean("tokenizer.ggml.add_space_prefix");
  vocabulary.remove_extra_whitespaces = metadata.boolean("tokenizer.ggml.remove_extra_whitespaces");
  vocabulary.chat_template = metadata.string("tokenizer.chat_template");
  if (!metadata.status().ok()) return fail(metadata.status());

  const auto tokens = file.strings("tokenizer.ggml.tokens");
  if (!tokens) return fail(tokens.error());
  vocabulary.tokens.assign(tokens->begin(), tokens->end());
  const auto merges = file.strings("tokenizer.ggml.merges");
  if (!merges) return fail(merges.error());
  vocabulary.merges.assign(merges->begin(), merges->end());
  if (vocabulary.model == "llama") {
    auto scores = file.floats("tokenizer.ggml.scores");
    if (!scores) return fail(scores.error());
    vocabulary.scores = std::move(*scores);
  }
  const auto types = file.integers("tokenizer.ggml.token_type");
  if (!types) return fail(types.error());
  for (const std::int64_t type : *types) {
    if (type < 0 || type > 6) {
      return fail(bad_input(file.file() + ": tokenizer.ggml.token_type: " + std::to_string(type) + " is unknown"));
    }
    vocabulary.token_types.push_back(static_cast<std::int32_t>(type));
  }
  return vocabulary;
}

}  // namespace herd::model
