#pragma once
// Reads a SentencePiece model file: a protobuf message (sentencepiece_model.proto of google/sentencepiece), of which the
// fields that decide about encoding and decoding are taken and the rest is skipped. Says nothing about what they mean.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"
#include "runtime/tokenizer/sentencepiece_normalizer.h"

namespace herd::tokenizer {

struct SentencePiece {
  enum class Type : std::uint8_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
  std::string text;
  float score = 0.0F;
  Type type = Type::kNormal;
};

// Value. Defaults are those of the .proto.
struct SentencePieceFile {
  enum class Model : std::uint8_t { kUnigram = 1, kBpe = 2, kWord = 3, kCharacter = 4 };
  std::vector<SentencePiece> pieces;  // by id
  Model model = Model::kUnigram;
  bool byte_fallback = false;
  std::string bos_piece = "<s>";
  std::string eos_piece = "</s>";
  SentencePieceRules rules = {.remove_extra_spaces = true};
  bool replaces_when_decoding = false;  // it has a map of characters for decoded text
};

// Whether the file is one of these rather than lines of text (tiktoken's): its first byte is the tag of a field.
[[nodiscard]] bool is_sentencepiece_file(std::string_view content);

// `name` stands for the file in error messages. kBadInput: not such a message, more pieces than a vocabulary may have.
[[nodiscard]] Expected<SentencePieceFile> read_sentencepiece_file(std::string_view content, std::string_view name);

}  // namespace herd::tokenizer
