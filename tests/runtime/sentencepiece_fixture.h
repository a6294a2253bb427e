#pragma once
// A SentencePiece model file, field by field, for tests.

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/sentencepiece_proto.h"

namespace herd::tokenizer {

inline std::string proto_varint(std::uint64_t number) {
  std::string out;
  for (; number >= 0x80; number >>= 7) out += static_cast<char>(0x80 | (number & 0x7F));
  return out + static_cast<char>(number);
}

inline std::string proto_number(unsigned tag, std::uint64_t number) { return proto_varint(tag << 3) + proto_varint(number); }

inline std::string proto_bytes(unsigned tag, std::string_view bytes) {
  return proto_varint(tag << 3 | 2) + proto_varint(bytes.size()) + std::string(bytes);
}

inline std::string proto_float(unsigned tag, float number) {
  std::string out = proto_varint(tag << 3 | 5);
  for (unsigned shift = 0; shift < 32; shift += 8) out += static_cast<char>(std::bit_cast<std::uint32_t>(number) >> shift);
  return out;
}

// A double array in darts-clone's form that maps each of `from` (one byte each) to `to` (by place), and the texts.
inline std::string one_byte_charsmap(std::string_view from, const std::vector<std::string>& to) {
  constexpr std::uint32_t kHasLeaf = 1U << 8;
  constexpr std::uint32_t kChildren = 256;  // the root's children lie at 256 ^ byte, the leaf of each 256 further
  std::vector<std::uint32_t> units(1024);
  units[0] = kChildren << 10;
  std::string texts;
  for (std::size_t i = 0; i < from.size(); ++i) {
    const auto byte = static_cast<unsigned char>(from[i]);
    units[kChildren ^ byte] = (kChildren * 3) << 10 | kHasLeaf | byte;  // (256 ^ byte) ^ 768 = 512 ^ byte
    units[(kChildren ^ byte) ^ (kChildren * 3)] = 1U << 31 | static_cast<std::uint32_t>(texts.size());
    texts += to[i] + '\0';
  }
  std::string blob;
  const auto add = [&](std::uint32_t number) {
    for (unsigned shift = 0; shift < 32; shift += 8) blob += static_cast<char>(number >> shift);
  };
  add(static_cast<std::uint32_t>(units.size() * 4));
  for (const std::uint32_t unit : units) add(unit);
  return blob + texts;
}

struct ModelParts {
  std::vector<SentencePiece> pieces;
  SentencePieceFile::Model model = SentencePieceFile::Model::kBpe;
  bool byte_fallback = false;
  bool dummy_prefix = true;
  bool remove_extra_spaces = false;
  bool space_as_suffix = false;
  std::string charsmap;
};

inline std::string model_bytes(const ModelParts& parts) {
  std::string out;
  for (const SentencePiece& piece : parts.pieces) {
    out += proto_bytes(1, proto_bytes(1, piece.text) + proto_float(2, piece.score) +
                              proto_number(3, static_cast<std::uint64_t>(piece.type)));
  }
  out += proto_bytes(2, proto_number(3, static_cast<std::uint64_t>(parts.model)) + proto_number(24, parts.space_as_suffix ? 1 : 0) +
                            proto_number(35, parts.byte_fallback ? 1 : 0));
  return out + proto_bytes(3, proto_bytes(2, parts.charsmap) + proto_number(3, parts.dummy_prefix ? 1 : 0) +
                                  proto_number(4, parts.remove_extra_spaces ? 1 : 0));
}

// <unk>, <s>, </s>, then the pieces; the score falls with the place.
inline ModelParts small_model(const std::vector<std::string>& pieces) {
  using Type = SentencePiece::Type;
  ModelParts parts;
  parts.pieces = {{"<unk>", 0.0F, Type::kUnknown}, {"<s>", 0.0F, Type::kControl}, {"</s>", 0.0F, Type::kControl}};
  for (const std::string& piece : pieces) parts.pieces.push_back({piece, -static_cast<float>(parts.pieces.size()), Type::kNormal});
  return parts;
}

}  // namespace herd::tokenizer
