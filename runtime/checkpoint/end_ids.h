#pragma once
// Which ids end a sequence: all that any of a model's sources names. Models end turns and documents differently, and a
// file often names only one of the two.

#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/status.h"
#include "runtime/ids.h"

namespace herd::model {

struct EndIds {
  std::vector<TokenId> ids;       // each once, in the sources' order
  std::vector<TokenId> dropped;   // beyond the vocabulary: they never come
};

class JsonObject;

[[nodiscard]] EndIds join_end_ids(std::initializer_list<std::span<const TokenId>> sources, int vocab_size);

// What tokenizer_config.json and special_tokens_map.json of a folder say about it, or a tokenizer.json.
struct DeclaredEnds {
  std::vector<std::string> names;  // eos_token: a text, an object with its content, or a list of them
  std::vector<std::pair<TokenId, std::string>> special_tokens;  // of added_tokens_decoder, added_tokens
};

// Adds what one of these files says. A field of another shape says nothing here; who needs it judges it.
void add_declared_ends(const JsonObject& json, DeclaredEnds& declared);

// Of a folder: nothing where the files are not there. kBadInput names the file that is no JSON object. What lies beside a
// checkpoint is in its TextParts already.
[[nodiscard]] Expected<DeclaredEnds> read_declared_ends(const std::string& folder);

// The special tokens of a tokenizer.json that cannot be used as a tokenizer; none where it is no JSON object either.
[[nodiscard]] std::vector<std::pair<TokenId, std::string>> read_special_tokens(const std::string& tokenizer_json);

}  // namespace herd::model
