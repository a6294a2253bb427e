// Token ids of many texts, for tests/e2e/*_parity.py. Not installed, not for people.
//   tokenizer_dump KIND PATH        KIND: json (tokenizer.json), model (tokenizer.model), vocab-json (GgufVocabulary's fields)
// stdin: records of a mode byte, a little-endian u32 length and the text. Modes: 'p' plain, 's' parse specials,
// 'b' add BOS, 'c' a conversation: JSON [template, [[role, content], …]], 'd' ids to decode without specials,
// 'i' the same through IncrementalDecoder. stdout: per record one line of ids, or the decoded text in hexadecimal.
#include "endpoint/chat/chat_renderer.h"
#include "runtime/tokenizer/gguf_vocabulary.h"
#include "runtime/tokenizer/incremental_decoder.h"
#include "runtime/tokenizer/tokenizer_json.h"
#include "runtime/tokenizer/tokenizer_model.h"

#include <boost/json.hpp>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

namespace herd::tokenizer {
namespace {

namespace json = boost::json;

Expected<Tokenizer> load_vocabulary_json(const std::string& path) {
  std::ostringstream content;
  content << std::ifstream(path, std::ios::binary).rdbuf();
  const json::value document = json::parse(content.str());
  const json::object& fields = document.as_object();
  GgufVocabulary vocabulary;
  vocabulary.model = json::value_to<std::string>(fields.at("model"));
  vocabulary.pre = json::value_to<std::string>(fields.at("pre"));
  vocabulary.tokens = json::value_to<std::vector<std::string>>(fields.at("tokens"));
  vocabulary.token_types = json::value_to<std::vector<std::int32_t>>(fields.at("token_types"));
  vocabulary.merges = json::value_to<std::vector<std::string>>(fields.at("merges"));
  if (const json::value* scores = fields.if_contains("scores")) vocabulary.scores = json::value_to<std::vector<float>>(*scores);
  vocabulary.bos_id = json::value_to<TokenId>(fields.at("bos_id"));
  vocabulary.eos_id = json::value_to<TokenId>(fields.at("eos_id"));
  vocabulary.add_bos = fields.at("add_bos").as_bool();
  return tokenizer_from_vocabulary(vocabulary);
}

Expected<Tokenizer> load(const std::string& kind, const std::string& path) {
  if (kind == "json") return load_tokenizer_json(path);
  if (kind == "model") return load_tokenizer_model(path);
  if (kind == "vocab-json") return load_vocabulary_json(path);
  return fail(usage_error("KIND is json, model or vocab-json"));
}

std::vector<TokenId> render(const std::string& text, const Tokenizer& tokenizer) {
  const json::value document = json::parse(text);
  const json::array& fields = document.as_array();
  chat::Conversation conversation;
  for (const json::value& message : fields.at(1).as_array()) {
    conversation.messages.push_back({json::value_to<std::string>(message.at(0)), json::value_to<std::string>(message.at(1))});
  }
  const auto chat = chat::ChatRenderer::of_template({json::value_to<std::string>(fields.at(0)), {}}, {}, tokenizer);
  if (!chat) return {-1};
  return chat->render(conversation, 0).value_or(std::vector<TokenId>{-1});
}

std::string hexadecimal(const std::string& text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

std::string decode(const std::string& text, bool incremental, const Tokenizer& tokenizer) {
  std::istringstream numbers(text);
  std::vector<TokenId> ids;
  for (TokenId id = 0; numbers >> id;) ids.push_back(id);
  if (!incremental) return tokenizer.decode(ids, true);
  IncrementalDecoder decoder(tokenizer, {}, {.begins_text = true});
  std::string out;
  for (const TokenId id : ids) out += decoder.push(id);
  return out + decoder.flush();
}

int run(const std::string& kind, const std::string& path) {
  const auto tokenizer = load(kind, path);
  if (!tokenizer) {
    std::fprintf(stderr, "%s\n", tokenizer.error().message().c_str());
    return 3;
  }
  int mode = 0;
  while ((mode = std::getchar()) != EOF) {
    unsigned char size[4];
    if (std::fread(size, 1, 4, stdin) != 4) return 3;
    std::string text(size[0] | size[1] << 8 | size[2] << 16 | static_cast<std::size_t>(size[3]) << 24, '\0');
    if (std::fread(text.data(), 1, text.size(), stdin) != text.size()) return 3;
    if (mode == 'd' || mode == 'i') {
      std::printf("%s\n", hexadecimal(decode(text, mode == 'i', *tokenizer)).c_str());
      continue;
    }
    const auto ids = mode == 'c' ? render(text, *tokenizer)
                                 : tokenizer->encode(text, {.add_bos = mode == 'b', .parse_special = mode == 's'});
    std::string line;
    for (const TokenId id : ids) line += std::to_string(id) + " ";
    std::printf("%s\n", line.c_str());
  }
  return 0;
}

}  // namespace
}  // namespace herd::tokenizer

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: tokenizer_dump KIND PATH\n");
    return 2;
  }
  return herd::tokenizer::run(argv[1], argv[2]);
}
