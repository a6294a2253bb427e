#include "runtime/tokenizer/sentencepiece_proto.h"

#include <bit>
#include <cstddef>
#include <optional>

#include "runtime/tokenizer/tokenizer_definition.h"

namespace herd::tokenizer {
namespace {

// One field of a message: `number` holds varints and fixed numbers, `bytes` strings and messages inside.
struct Field {
  std::uint32_t tag = 0;  // the number in the .proto
  enum class Wire : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 } wire = Wire::kVarint;
  std::uint64_t number = 0;
  std::string_view bytes;
};

// Takes the fields of one message one after the other (protobuf.dev, "Encoding").
class FieldReader {
 public:
  explicit FieldReader(std::string_view message) : rest_(message) {}

  // Nothing at the end, and when the message breaks off or breaks the format: broken() tells which.
  std::optional<Field> next() {
    if (rest_.empty() || broken_) return std::nullopt;
    const std::uint64_t key = varint();
    Field field;
    field.tag = static_cast<std::uint32_t>(key >> 3);
    field.wire = static_cast<Field::Wire>(key & 7);
    switch (field.wire) {
      case Field::Wire::kVarint:
        field.number = varint();
        break;
      case Field::Wire::kFixed64:
        field.number = fixed(8);
        break;
      case Field::Wire::kFixed32:
        field.number = fixed(4);
        break;
      case Field::Wire::kBytes:
        field.bytes = take(varint());
        break;
      default:
        broken_ = true;
    }
    if (key >> 3 == 0 || key >> 3 > kTagMax) broken_ = true;
    return broken_ ? std::nullopt : std::optional(field);
  }

  [[nodiscard]] bool broken() const { return broken_; }

 private:
  static constexpr std::uint64_t kTagMax = (1U << 29) - 1;

  std::uint64_t varint() {
    std::uint64_t number = 0;
    for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      number |= std::uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return number;
    }
    broken_ = true;
    return 0;
  }

  std::uint64_t fixed(std::size_t size) {
    std::uint64_t number = 0;
    const std::string_view bytes = take(size);
    for (std::size_t i = 0; i < bytes.size(); ++i) number |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
    return number;
  }

  std::string_view take(std::uint64_t size) {
    if (size > rest_.size()) {
      broken_ = true;
      return {};
    }
    const std::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }

  std::string_view rest_;
  bool broken_ = false;
};

// Calls use(field) for each field; false when the message is broken or `use` says so.
template <class Use>
bool for_each_field(std::string_view message, Use use) {
  FieldReader reader(message);
  while (const auto field = reader.next()) {
    if (!use(*field)) return false;
  }
  return !reader.broken();
}

// Each of these takes a field of the wanted kind; a field of another kind breaks the message.
bool read(const Field& field, std::string& to) {
  to = field.bytes;
  return field.wire == Field::Wire::kBytes;
}
bool read(const Field& field, bool& to) {
  to = field.number != 0;
  return field.wire == Field::Wire::kVarint;
}
bool read(const Field& field, float& to) {
  to = std::bit_cast<float>(static_cast<std::uint32_t>(field.number));
  return field.wire == Field::Wire::kFixed32;
}
template <class Enum>
bool read(const Field& field, Enum& to, Enum last) {
  to = static_cast<Enum>(field.number);
  return field.wire == Field::Wire::kVarint && field.number >= 1 && field.number <= static_cast<std::uint64_t>(last);
}

bool read_piece(std::string_view message, SentencePiece& piece) {
  return for_each_field(message, [&](const Field& field) {
    if (field.tag == 1) return read(field, piece.text);
    if (field.tag == 2) return read(field, piece.score);
    if (field.tag == 3) return read(field, piece.type, SentencePiece::Type::kByte);
    return true;
  });
}

bool read_trainer(std::string_view message, SentencePieceFile& file) {
  return for_each_field(message, [&](const Field& field) {
    if (field.tag == 3) return read(field, file.model, SentencePieceFile::Model::kCharacter);
    if (field.tag == 24) return read(field, file.rules.space_as_suffix);
    if (field.tag == 35) return read(field, file.byte_fallback);
    if (field.tag == 46) return read(field, file.bos_piece);
    if (field.tag == 47) return read(field, file.eos_piece);
    return true;
  });
}

bool read_normalizer(std::string_view message, SentencePieceRules& rules) {
  return for_each_field(message, [&](const Field& field) {
    if (field.tag == 2) return read(field, rules.charsmap);
    if (field.tag == 3) return read(field, rules.dummy_prefix);
    if (field.tag == 4) return read(field, rules.remove_extra_spaces);
    if (field.tag == 5) return read(field, rules.escape_spaces);
    return true;
  });
}

bool read_model(std::string_view message, SentencePieceFile& file, std::string& problem) {
  return for_each_field(message, [&](const Field& field) {
    if (field.tag < 1 || field.tag > 5 || field.tag == 4) return true;  // 4: texts to test with
    if (field.wire != Field::Wire::kBytes) return false;
    if (field.tag == 2) return read_trainer(field.bytes, file);
    if (field.tag == 3) return read_normalizer(field.bytes, file.rules);
    if (field.tag == 5) {
      SentencePieceRules decoding;
      if (!read_normalizer(field.bytes, decoding)) return false;
      file.replaces_when_decoding = !decoding.charsmap.empty();
      return true;
    }
    if (file.pieces.size() == kVocabularySizeMax) {
      problem = "more than " + std::to_string(kVocabularySizeMax) + " pieces";
      return false;
    }
    return read_piece(field.bytes, file.pieces.emplace_back());
  });
}

}  // namespace

bool is_sentencepiece_file(std::string_view content) {
  // Tags of the message's fields are below the first character that a line of text begins with.
  return !content.empty() && static_cast<unsigned char>(content.front()) < ' ' && content.front() != '\r' && content.front() != '\t';
}

Expected<SentencePieceFile> read_sentencepiece_file(std::string_view content, std::string_view name) {
  SentencePieceFile file;
  std::string problem;
  if (read_model(content, file, problem)) return file;
  if (problem.empty()) {
    problem = "not a whole SentencePiece model: it breaks off or is damaged behind piece " + std::to_string(file.pieces.size());
  }
  return fail(bad_input(std::string(name) + ": " + problem));
}

}  // namespace herd::tokenizer
