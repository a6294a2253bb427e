#pragma once
// Values -> JSON bodies of the OpenAI API, in the shapes that clients of OpenAI and vLLM parse. Pure. Bodies of streams
// are written token by token: ChunkWriter keeps what does not change and escapes the rest into place.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/ids.h"
#include "runtime/step/step_plan.h"

namespace herd::openai {

enum class Endpoint : std::uint8_t { kCompletion, kChat };

// Bytes of a token as they are (not always UTF-8); how logprobs name tokens.
using TokenBytes = std::function<std::string_view(TokenId)>;

struct Usage {
  std::uint32_t prompt_tokens = 0;
  std::uint32_t completion_tokens = 0;
  std::uint32_t cached_tokens = 0;
};

// One token's log-probability as both endpoints report it.
struct TokenReport {
  TokenId token = 0;
  std::optional<float> logprob;                  // absent: the first prompt token of an echo
  std::vector<step::TokenLogprob> top;
  std::uint32_t text_offset = 0;                 // completions: code points of the text that the tokens before it make up
};

// What does not change within one answer.
struct AnswerHead {
  Endpoint endpoint = Endpoint::kChat;
  std::string id;                                // "chatcmpl-…", "cmpl-…"
  std::int64_t created = 0;                      // Unix seconds
  std::string model;
  std::int32_t logprobs = -1;                    // as GenerationFields.logprobs
  bool return_token_ids = false;
  bool include_usage = false;                    // every chunk has a usage, null in all but the last
};

// A choice of a whole (not streamed) answer.
struct ChoiceReport {
  std::uint32_t index = 0;
  std::string text;                              // UTF-8
  std::string finish_reason;                     // "stop", "length"
  std::optional<std::string> stop_string;        // stop_reason: the stop string …
  std::optional<TokenId> stop_token;             // … or the stop token id that ended it (vLLM); null otherwise
  std::vector<TokenReport> tokens;               // when logprobs >= 0
  std::vector<TokenId> token_ids;                // when return_token_ids
  std::vector<TokenId> prompt_token_ids;         // when return_token_ids
};

[[nodiscard]] std::string whole_answer(const AnswerHead& head, const std::vector<ChoiceReport>& choices,
                                       const Usage& usage, const TokenBytes& token_bytes);

// What one frame of a stream adds to a choice.
struct ChunkReport {
  std::uint32_t index = 0;
  std::string_view text;                         // may be empty
  std::span<const TokenReport> tokens;           // logprobs, when asked for: its token, or an echoed prompt's tokens
  std::span<const TokenId> token_ids;            // when return_token_ids
  const std::vector<TokenId>* prompt_token_ids = nullptr;  // the first frame of a choice, when return_token_ids
  std::string_view finish_reason;                // empty: null
  std::optional<std::string_view> stop_string;
  std::optional<TokenId> stop_token;
  const Usage* usage = nullptr;                  // so far, when continuous_usage
};

// Writes the JSON of each chunk; append to a frame "id: …\ndata: " + chunk + "\n\n".
class ChunkWriter {
 public:
  ChunkWriter(AnswerHead head, TokenBytes token_bytes);
  // chat: the first chunk of a choice, delta.role = assistant. `usage`: so far, as ChunkReport.usage.
  void role(std::uint32_t index, const Usage* usage, std::string& out) const;
  void token(const ChunkReport& chunk, std::string& out) const;
  void usage(const Usage& usage, std::string& out) const;  // choices [], usage

 private:
  void append_usage_member(const Usage* usage, std::string& out) const;

  AnswerHead head_;
  TokenBytes token_bytes_;
  std::string prefix_;  // {"id":…,"object":…,"created":…,"model":…,"choices":[
};

[[nodiscard]] std::string model_body(const std::string& name, const std::string& root, std::int64_t created,
                                     std::int64_t max_model_len);
[[nodiscard]] std::string models_body(const std::vector<std::string>& names, const std::string& root,
                                      std::int64_t created, std::int64_t max_model_len);
[[nodiscard]] std::string tokenize_body(const std::vector<TokenId>& tokens, std::int64_t max_model_len,
                                        const TokenBytes* token_strs);  // null: no token_strs
[[nodiscard]] std::string detokenize_body(std::string_view text);
[[nodiscard]] std::string version_body(std::string_view version);
[[nodiscard]] std::string load_body(std::uint64_t running, std::uint64_t waiting, double kv_usage);

// Appends `text` as the inside of a JSON string. `text` is valid UTF-8.
void append_escaped(std::string_view text, std::string& out);

}  // namespace herd::openai
