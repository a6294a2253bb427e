#include "runtime/tokenizer/json_document.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>

#include <boost/json.hpp>
#include <boost/json/basic_parser_impl.hpp>

#include "runtime/joined_thread.h"
#include "runtime/tokenizer/json_fields.h"
#include "runtime/tokenizer/large_pages.h"
#include "runtime/tokenizer/tokenizer_definition.h"
#include "runtime/tokenizer/two_halves.h"

namespace herd::tokenizer {
namespace {

namespace json = boost::json;

constexpr std::size_t kDepthMax = 32;
constexpr std::size_t kBytesAnEntry = 16;  // of a file, for a token or a merge; room for more costs nothing until it is touched

// A text as the parser tells it: in one part that lies in the file or, where something in it was escaped, in parts that lie
// anywhere and are joined here.
class TextParts {
 public:
  explicit TextParts(std::string_view file) : file_(file) {}

  void add(json::string_view part) { parts_.append(part.data(), part.size()); }
  // The whole text, which stays where it is.
  [[nodiscard]] std::string_view finish(json::string_view last) {
    const std::string_view text(last.data(), last.size());
    const bool in_file = text.data() >= file_.data() && text.data() + text.size() <= file_.data() + file_.size();
    if (parts_.empty() && in_file) return text;
    return joined_.emplace_back(std::exchange(parts_, {}).append(text));
  }

 private:
  std::string_view file_;
  std::string parts_;
  std::deque<std::string> joined_;
};

TokenId token_id(std::int64_t number) {
  return number >= 0 && number < static_cast<std::int64_t>(kVocabularySizeMax) ? static_cast<TokenId>(number) : SpelledToken::kNoId;
}

template <class Scalar>
TokenId token_id(Scalar value) {
  return json_token_id(json::value(value)).value_or(SpelledToken::kNoId);
}

// The tokens by spelling, put together on another thread where one can be had.
class SpellingIndex {
 public:
  // `tokens` stay as they are until stop().
  void start(std::span<const SpelledToken> tokens) {
    if (tokens.size() < kWorthAThread || !thread_.start([this, tokens] { build(tokens); })) build(tokens);
  }
  void stop() { thread_.join(); }
  void build(std::span<const SpelledToken> tokens) {
    map = TokenMap(tokens.size());
    each_once = true;
    for (const auto& [spelling, id] : tokens) each_once = map.insert(spelling, id) == TokenMap::kNone && each_once;
  }

  TokenMap map;
  bool each_once = true;  // no spelling occurs twice

 private:
  JoinedThread thread_;
};

// As a JSON object holds them: of equal keys the last one, where the first one stood.
void keep_last_of_equal_keys(Table<SpelledToken>& tokens) {
  TokenMap places(tokens.size());
  std::size_t size = 0;
  for (const SpelledToken& token : tokens) {
    const TokenId known = places.insert(token.spelling, static_cast<TokenId>(size));
    tokens[known == TokenMap::kNone ? size++ : static_cast<std::size_t>(known)] = token;
  }
  tokens.resize(size);
}

// model.vocab: {"spelling": id, …}. A container as a value is no id, whatever is in it.
class VocabularyReader {
 public:
  explicit VocabularyReader(std::string_view file) : texts_(file), bytes_(file.size()) {}

  void begin() {
    index_.stop();
    tokens_.clear();
    tokens_.reserve(std::min(bytes_ / kBytesAnEntry, kVocabularySizeMax + 1));
  }
  void open() { ++open_; }
  // False: what closes is the list itself.
  [[nodiscard]] bool close() {
    if (open_ == 0) {
      if (tokens_.size() <= kVocabularySizeMax) index_.start(tokens_);
      return false;
    }
    --open_;
    value(SpelledToken::kNoId);
    return true;
  }
  void key_part(json::string_view part) {
    if (open_ == 0) texts_.add(part);
  }
  void key(json::string_view last) {
    if (open_ == 0) spelling_ = texts_.finish(last);
  }
  void value(TokenId id) {
    if (open_ == 0 && tokens_.size() <= kVocabularySizeMax) tokens_.push_back({spelling_, id});
  }
  // Nothing follows.
  void finish() {
    index_.stop();
    if (index_.each_once || tokens_.size() > kVocabularySizeMax) return;
    keep_last_of_equal_keys(tokens_);
    index_.build(tokens_);
  }
  [[nodiscard]] std::span<const SpelledToken> tokens() const { return tokens_; }
  [[nodiscard]] TokenMap take_spellings() { return std::move(index_.map); }

 private:
  TextParts texts_;
  std::size_t bytes_;
  std::size_t open_ = 0;  // containers inside the list
  std::string_view spelling_;
  Table<SpelledToken> tokens_;
  SpellingIndex index_;
};

// model.merges: ["left right", …] or [["left", "right"], …].
class MergesReader {
 public:
  explicit MergesReader(std::string_view file) : texts_(file), bytes_(file.size()) {}

  void begin() {
    merges_.clear();
    last_misshapen_.reset();
    merges_.reserve(std::min(bytes_ / kBytesAnEntry, kMergesMax + 1));
  }
  void open(bool is_array) {
    is_pair_ = open_ == 0 && is_array;
    size_ = 0;
    ++open_;
  }
  // False: what closes is the list itself.
  [[nodiscard]] bool close() {
    if (open_ == 0) return false;
    if (--open_ == 0) add(is_pair_ && size_ == 2 ? std::optional(pair_) : std::nullopt);
    return true;
  }
  void text_part(json::string_view part) { texts_.add(part); }
  void text(json::string_view last) {
    const std::string_view whole = texts_.finish(last);
    if (open_ == 0) {
      add(split(whole));
    } else if (size_++ < 2) {
      (size_ == 1 ? pair_.left : pair_.right) = whole;
    }
  }
  // Anything but a text or a container.
  void other() {
    is_pair_ = false;
    if (open_ == 0) add(std::nullopt);
  }
  [[nodiscard]] std::span<const SpelledMerge> merges() const { return merges_; }
  [[nodiscard]] std::optional<std::size_t> last_misshapen() const { return last_misshapen_; }

 private:
  // Nothing: not one space.
  static std::optional<SpelledMerge> split(std::string_view both) {
    const std::size_t space = both.find(' ');
    if (space == std::string_view::npos || both.find(' ', space + 1) != std::string_view::npos) return std::nullopt;
    return SpelledMerge{both.substr(0, space), both.substr(space + 1)};
  }
  void add(std::optional<SpelledMerge> merge) {
    if (merges_.size() > kMergesMax) return;
    if (!merge) last_misshapen_ = merges_.size();
    merges_.push_back(merge.value_or(SpelledMerge{}));
  }

  TextParts texts_;
  std::size_t bytes_;
  std::size_t open_ = 0;   // containers inside the list
  bool is_pair_ = false;   // the container holds nothing but texts, …
  std::size_t size_ = 0;   // … this many
  SpelledMerge pair_;      // … of which these are the first
  std::optional<std::size_t> last_misshapen_;
  Table<SpelledMerge> merges_;
};

// What the parser calls. Builds the tree, and hands what is inside a list to the list's reader.
class DocumentReader {
 public:
  static constexpr std::size_t max_array_size = -1;
  static constexpr std::size_t max_object_size = -1;
  static constexpr std::size_t max_string_size = -1;
  static constexpr std::size_t max_key_size = -1;

  DocumentReader(VocabularyReader& vocabulary, MergesReader& merges, unsigned char* buffer, std::size_t bytes)
      : stack_(json::storage_ptr(), buffer, bytes), vocabulary_(vocabulary), merges_(merges) {}

  json::value_stack& stack() { return stack_; }

  bool on_document_begin(json::error_code&) { return true; }
  bool on_document_end(json::error_code&) { return true; }
  bool on_object_begin(json::error_code&) {
    if (list_ == List::kVocabulary) {
      vocabulary_.open();
    } else if (list_ == List::kMerges) {
      merges_.open(false);
    } else if (depth_ == kModelDepth && next_ == List::kVocabulary) {
      vocabulary_.begin();
      list_ = next_;
    } else {
      open();
    }
    return true;
  }
  bool on_object_end(std::size_t size, json::error_code&) {
    if (is_inside_list()) return true;
    if (list_ == List::kNone) --depth_;
    stack_.push_object(std::exchange(list_, List::kNone) == List::kNone ? size : 0);
    return true;
  }
  bool on_array_begin(json::error_code&) {
    if (list_ == List::kVocabulary) {
      vocabulary_.open();
    } else if (list_ == List::kMerges) {
      merges_.open(true);
    } else if (depth_ == kModelDepth && next_ == List::kMerges) {
      merges_.begin();
      list_ = next_;
    } else {
      open();
    }
    return true;
  }
  bool on_array_end(std::size_t size, json::error_code&) {
    if (is_inside_list()) return true;
    if (list_ == List::kNone) --depth_;
    stack_.push_array(std::exchange(list_, List::kNone) == List::kNone ? size : 0);
    return true;
  }
  bool on_key_part(json::string_view part, std::size_t, json::error_code&) {
    if (list_ == List::kVocabulary) vocabulary_.key_part(part);
    if (list_ != List::kNone) return true;
    if (depth_ <= kModelDepth) key_.append(part.data(), part.size());
    stack_.push_chars(part);
    return true;
  }
  bool on_key(json::string_view last, std::size_t, json::error_code&) {
    if (list_ == List::kVocabulary) vocabulary_.key(last);
    if (list_ != List::kNone) return true;
    if (depth_ <= kModelDepth) at_key(std::exchange(key_, {}).append(last.data(), last.size()));
    stack_.push_key(last);
    return true;
  }
  bool on_string_part(json::string_view part, std::size_t, json::error_code&) {
    if (list_ == List::kMerges) merges_.text_part(part);
    if (list_ == List::kNone) stack_.push_chars(part);
    return true;
  }
  bool on_string(json::string_view last, std::size_t, json::error_code&) {
    if (list_ == List::kVocabulary) vocabulary_.value(SpelledToken::kNoId);
    if (list_ == List::kMerges) merges_.text(last);
    if (list_ == List::kNone) stack_.push_string(last);
    return true;
  }
  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_int64(std::int64_t number, json::string_view, json::error_code&) {
    if (takes(number)) stack_.push_int64(number);
    return true;
  }
  bool on_uint64(std::uint64_t number, json::string_view, json::error_code&) {
    if (takes(number)) stack_.push_uint64(number);
    return true;
  }
  bool on_double(double number, json::string_view, json::error_code&) {
    if (takes(number)) stack_.push_double(number);
    return true;
  }
  bool on_bool(bool truth, json::error_code&) {
    if (takes(truth)) stack_.push_bool(truth);
    return true;
  }
  bool on_null(json::error_code&) {
    if (takes(nullptr)) stack_.push_null();
    return true;
  }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }

 private:
  enum class List { kNone, kVocabulary, kMerges };
  static constexpr std::size_t kModelDepth = 2;  // containers open inside the root's member "model"

  // A container of the tree. Whatever was the last key of a model before, this is another one.
  void open() {
    if (depth_ < kModelDepth) next_ = List::kNone;
    ++depth_;
  }
  void at_key(std::string_view key) {
    if (depth_ < kModelDepth) {
      in_model_ = key == "model";
    } else if (in_model_) {
      next_ = key == "vocab" ? List::kVocabulary : key == "merges" ? List::kMerges : List::kNone;
    }
  }
  // Whether the container that closes is one inside a list.
  [[nodiscard]] bool is_inside_list() {
    if (list_ == List::kVocabulary) return vocabulary_.close();
    return list_ == List::kMerges && merges_.close();
  }
  // Whether this number, true, false or null belongs to the tree.
  template <class Scalar>
  [[nodiscard]] bool takes(Scalar value) {
    if (list_ == List::kVocabulary) vocabulary_.value(token_id(value));
    if (list_ == List::kMerges) merges_.other();
    return list_ == List::kNone;
  }

  json::value_stack stack_;
  VocabularyReader& vocabulary_;
  MergesReader& merges_;
  List list_ = List::kNone;  // which the parser is in
  List next_ = List::kNone;  // which begins where the value of this member of the model is of its kind
  std::size_t depth_ = 0;    // containers of the tree that are open
  bool in_model_ = false;    // the last key of the root was "model"
  std::string key_;          // that comes in parts
};

}  // namespace

struct JsonDocument::Memory {
  explicit Memory(std::string_view text) : vocabulary(text), merges(text) {}

  json::monotonic_resource resource;
  json::value root;
  VocabularyReader vocabulary;
  MergesReader merges;
};

JsonDocument::JsonDocument(std::unique_ptr<Memory> memory) : memory_(std::move(memory)) {}
JsonDocument::JsonDocument(JsonDocument&&) noexcept = default;
JsonDocument& JsonDocument::operator=(JsonDocument&&) noexcept = default;
JsonDocument::~JsonDocument() = default;

Expected<JsonDocument> JsonDocument::parse(std::string_view text) {
  auto memory = std::make_unique<Memory>(text);
  std::array<unsigned char, 4096> stack_buffer;
  json::parse_options options;
  options.max_depth = kDepthMax;
  json::basic_parser<DocumentReader> parser(options, memory->vocabulary, memory->merges, stack_buffer.data(), stack_buffer.size());
  json::value_stack& stack = parser.handler().stack();
  stack.reset(&memory->resource);
  json::error_code error;
  const std::size_t read = parser.write_some(false, text.data(), text.size(), error);
  if (!error && read < text.size()) error = json::error::extra_data;
  if (error) return fail(bad_input("not JSON: " + error.message()));
  memory->vocabulary.finish();
  // The root must be made in the document's own memory: assigning across storages would copy it.
  std::destroy_at(&memory->root);
  std::construct_at(&memory->root, stack.release());
  if (!memory->root.is_object()) return fail(bad_input("not a JSON object"));
  return JsonDocument(std::move(memory));
}

const json::object& JsonDocument::root() const { return memory_->root.get_object(); }
std::span<const SpelledToken> JsonDocument::vocabulary() const { return memory_->vocabulary.tokens(); }
TokenMap JsonDocument::take_spellings() { return memory_->vocabulary.take_spellings(); }
std::span<const SpelledMerge> JsonDocument::merges() const { return memory_->merges.merges(); }
std::optional<std::size_t> JsonDocument::last_misshapen_merge() const { return memory_->merges.last_misshapen(); }

}  // namespace herd::tokenizer
