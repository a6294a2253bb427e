#include "runtime/tokenizer/gguf_pre_tokenizers.h"

#include <initializer_list>
#include <utility>

namespace herd::tokenizer {
namespace {

// Llama 3's pattern with digits one by one.
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// The same where runs of other characters take no ends of lines.
constexpr std::string_view kSeedCoder =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)";
// Behind a stage that has cut digits by threes.
constexpr std::string_view kMiniCpm5 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// Words begin at upper-case letters: Mistral's Tekken; GPT-4o and Llama 4 with contractions and digits by threes.
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDigitsByThrees = R"(\p{N}{1,3})";

constexpr std::string_view kNewline = R"([\r\n])";
constexpr std::string_view kEastAsian = R"([一-龥ࠀ-一가-퟿]+)";
// Letters that have a case, of the Unicode version that DeepSeek wrote them down from.
constexpr std::string_view kDeepSeekLetters =
    R"re(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-)re"
    R"re(ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ)re"
    R"re(-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+)re";
constexpr std::string_view kDeepSeekPunctuation = R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)";
constexpr std::string_view kSpacesAtEnd = R"(\s+$)";
constexpr std::string_view kDeepSeek3EastAsian = R"([一-龥぀-ゟ゠-ヿ]+)";
constexpr std::string_view kDeepSeek3 =
    R"re([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+)re"
    R"re([\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";

constexpr std::string_view kFalconPunctuation = R"([\p{P}\$\+<=>\^~\|`]+)";
constexpr std::string_view kDefaultPunctuation = R"([\p{P}\$\+<=>\^~\|]+)";
constexpr std::string_view kThreeDigits = R"([0-9][0-9][0-9])";
constexpr std::string_view kViking = R"( ?[^(\s|.,!?…。，、।۔،)]+)";

struct Rule {
  std::vector<std::string_view> names;
  GgufPreTokenizer meaning;
};

GgufPreTokenizer splits(std::initializer_list<std::string_view> patterns, bool whole_piece_first = false, bool add_bos = false) {
  GgufPreTokenizer meaning{{}, whole_piece_first, add_bos};
  for (const std::string_view pattern : patterns) meaning.stages.push_back(PreTokenizerStage::split(pattern));
  return meaning;
}

// Made once, never freed: threads may still read while the process ends.
const std::vector<Rule>& rules() {
  static const auto& kRules = *new const std::vector<Rule>{
      {{"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"}, splits({kLlama3Pattern}, true, true)},
      {{"dbrx", "smaug-bpe", "chatglm-bpe"}, splits({kLlama3Pattern})},
      {{"glm4"}, splits({kLlama3Pattern}, true)},
      {{"smollm", "refact", "starcoder", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"},
       splits({kDigitPattern, kGpt2Pattern})},
      {{"gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "gigachat", "a.x-4.0", "mellum", "exaone4"},
       splits({kGpt2Pattern})},
      {{"qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan", "solar-open", "grok-2", "kormo"}, splits({kQwen2})},
      {{"seed-coder"}, splits({kSeedCoder})},
      {{"minicpm5"}, splits({kDigitsByThrees, kMiniCpm5}, true)},
      {{"tekken"}, splits({kTekken}, true, true)},
      {{"gpt-4o", "llama4"}, splits({kGpt4o})},
      {{"deepseek-llm"},
       splits({kNewline, kDeepSeekLetters, kDeepSeekPunctuation, kSpacesAtEnd, kEastAsian, kDigitsPattern})},
      {{"deepseek-coder"}, splits({kNewline, R"(\s?\p{L}+)", R"(\s?\p{P}+)", kEastAsian, kDigitPattern})},
      {{"deepseek-v3", "hunyuan-dense"}, splits({kDigitsByThrees, kDeepSeek3EastAsian, kDeepSeek3})},
      {{"falcon"}, splits({kFalconPunctuation, kGpt2Pattern, kThreeDigits})},
      {{"viking"}, splits({kViking, kDigitPattern})},
      {{"default"}, splits({kDefaultPunctuation, kGpt2Pattern, kDigitsPattern, kThreeDigits})},
  };
  return kRules;
}

}  // namespace

const GgufPreTokenizer* find_gguf_pre_tokenizer(std::string_view name) {
  for (const Rule& rule : rules()) {
    for (const std::string_view known : rule.names) {
      if (known == name) return &rule.meaning;
    }
  }
  return nullptr;
}

std::string gguf_pre_tokenizer_name(const std::vector<PreTokenizerStage>& stages, bool whole_piece_first) {
  for (const Rule& rule : rules()) {
    if (rule.meaning.whole_piece_first == whole_piece_first && rule.meaning.stages == stages) return std::string(rule.names.front());
  }
  return {};
}

std::string gguf_pre_tokenizer_names() {
  std::string names;
  for (const Rule& rule : rules()) {
    for (const std::string_view name : rule.names) names += (names.empty() ? "" : ", ") + std::string(name);
  }
  return names;
}

}  // namespace herd::tokenizer
