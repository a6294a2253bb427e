// Which ids end a sequence of this model: find_end_ids() of model_text.h.

#include <filesystem>
#include <set>
#include <utility>

#include "cluster/wire/generate_codec.h"
#include "endpoint/served/model_text.h"
#include "runtime/checkpoint/end_ids.h"
#include "runtime/checkpoint/gguf_file.h"
#include "runtime/checkpoint/shard_index.h"
#include "runtime/tokenizer/gguf_vocabulary.h"

namespace herd::served {
namespace {

// Ids of `names` where the tokenizer spells each as one token.
void add_named(const tokenizer::Tokenizer& tokenizer, const std::set<std::string>& names, std::vector<TokenId>& ids) {
  for (const std::string& name : names) {
    const std::vector<TokenId> spelled = tokenizer.encode(name, {.add_bos = false, .parse_special = true});
    if (spelled.size() == 1) ids.push_back(spelled.front());
  }
}

// Control tokens of GGUF metadata that end something by their name, whether or not herd can use the vocabulary.
void add_end_tokens_in(const model::GgufFile& gguf, std::vector<TokenId>& ids) {
  constexpr std::int32_t kControl = 3;
  const auto vocabulary = model::gguf_vocabulary(gguf);
  if (!vocabulary || vocabulary->token_types.size() != vocabulary->tokens.size()) return;
  for (std::size_t i = 0; i < vocabulary->tokens.size(); ++i)
    if (vocabulary->token_types[i] == kControl && tokenizer::is_end_name(vocabulary->tokens[i]))
      ids.push_back(static_cast<TokenId>(i));
}

// What JSON files say.
void add_declared(const model::DeclaredEnds& declared, const std::optional<tokenizer::Tokenizer>& tokenizer,
                  std::vector<TokenId>& ids) {
  const std::set<std::string> names(declared.names.begin(), declared.names.end());
  if (tokenizer) add_named(*tokenizer, names, ids);
  for (const auto& [id, name] : declared.special_tokens)
    if (tokenizer::is_end_name(name) || names.contains(name)) ids.push_back(id);
}

void warn_of_file(const std::string& problem, const Say& warn) {
  warn("warning: " + problem + "; the end tokens it may name are not known");
}

// What the tokenizer's own definition says, whether or not herd can use it.
void add_well_known(const model::OpenedModel& model, const std::optional<tokenizer::Tokenizer>& tokenizer,
                    std::vector<TokenId>& ids) {
  if (tokenizer) {
    ids.insert(ids.end(), tokenizer->eos_ids().begin(), tokenizer->eos_ids().end());
    return;
  }
  const std::string& definition = model.description.text.tokenizer_json;
  if (!definition.empty()) {
    for (const auto& [id, name] : model::read_special_tokens(definition))
      if (tokenizer::is_end_name(name)) ids.push_back(id);
  }
  if (model.gguf() != nullptr) add_end_tokens_in(*model.gguf(), ids);
}

}  // namespace

Expected<std::vector<TokenId>> find_end_ids(const model::OpenedModel& model,
                                            const std::optional<tokenizer::Tokenizer>& tokenizer,
                                            const std::string& tokenizer_path, const Say& warn) {
  const std::string& name = model.files.path;
  std::vector<TokenId> named;
  const model::TextParts& text = model.description.text;
  if (!text.ends_problem.empty()) warn_of_file(text.ends_problem, warn);
  add_declared(text.ends, tokenizer, named);
  if (!tokenizer_path.empty()) {
    const auto declared = model::read_declared_ends(std::filesystem::path(tokenizer_path).parent_path().string());
    if (declared) add_declared(*declared, tokenizer, named);
    else warn_of_file(declared.error().message(), warn);
  }
  add_well_known(model, tokenizer, named);
  const model::LlamaConfig& config = model.config();
  model::EndIds ends =
      model::join_end_ids({model.description.generation.eos_ids, config.eos_ids, named}, config.vocab_size);
  if (ends.ids.size() > wire::kEosIdsMax)
    return fail(bad_input(name + ": names " + std::to_string(ends.ids.size()) + " end ids; at most " +
                          std::to_string(wire::kEosIdsMax) + " are supported"));
  std::vector<std::string> dropped;
  for (const TokenId id : ends.dropped) dropped.push_back(std::to_string(id));
  if (!dropped.empty())
    warn("warning: " + name + ": end id " + model::some_of(dropped) + " is beyond the model's vocabulary of " +
         std::to_string(config.vocab_size) + " and ends nothing");
  if (config.bos_id && *config.bos_id >= config.vocab_size)
    warn("warning: " + name + ": bos_token_id " + std::to_string(*config.bos_id) +
         " is beyond the model's vocabulary of " + std::to_string(config.vocab_size) + " and is not used");
  return std::move(ends.ids);
}

}  // namespace herd::served
