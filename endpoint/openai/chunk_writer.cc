// ChunkWriter: one JSON object per frame of a stream.
#include <utility>

#include "endpoint/openai/answer_parts.h"
#include "endpoint/openai/openai_response.h"

namespace herd::openai {

ChunkWriter::ChunkWriter(AnswerHead head, TokenBytes token_bytes)
    : head_(std::move(head)), token_bytes_(std::move(token_bytes)) {
  prefix_ = answer_start(head_, head_.endpoint == Endpoint::kChat ? "chat.completion.chunk" : "text_completion");
  prefix_ += R"(,"choices":[)";
}

void ChunkWriter::append_usage_member(const Usage* usage, std::string& out) const {
  if (usage == nullptr) {
    if (head_.include_usage) out += R"(,"usage":null)";
    return;
  }
  out += R"(,"usage":)";
  append_usage(*usage, out);
}

void ChunkWriter::role(std::uint32_t index, const Usage* usage, std::string& out) const {
  out += prefix_;
  out += R"({"index":)";
  append_number(index, out);
  out += R"(,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}])";
  append_usage_member(usage, out);
  out += '}';
}

void ChunkWriter::token(const ChunkReport& chunk, std::string& out) const {
  const bool chat = head_.endpoint == Endpoint::kChat;
  out += prefix_;
  out += R"({"index":)";
  append_number(chunk.index, out);
  out += chat ? R"(,"delta":{"content":")" : R"(,"text":")";
  append_escaped(chunk.text, out);
  out += chat ? R"("},)" : R"(",)";
  if (chunk.tokens.empty()) out += R"("logprobs":null)";
  else append_logprobs(head_, chunk.tokens, token_bytes_, out);
  if (chunk.finish_reason.empty()) {
    out += R"(,"finish_reason":null)";
  } else {
    out += R"(,"finish_reason":")";
    append_escaped(chunk.finish_reason, out);
    out += R"(",)";
    append_stop_reason(chunk.stop_string, chunk.stop_token, out);
  }
  const bool prompt_ids = head_.return_token_ids && chunk.prompt_token_ids != nullptr;
  if (head_.return_token_ids) {
    out += R"(,"token_ids":)";
    append_ids(chunk.token_ids, out);
  }
  if (prompt_ids && !chat) {
    out += R"(,"prompt_token_ids":)";
    append_ids(*chunk.prompt_token_ids, out);
  }
  out += "}]";
  if (prompt_ids && chat) {  // a chat has one prompt, whatever n is: vLLM puts its ids beside the choices
    out += R"(,"prompt_token_ids":)";
    append_ids(*chunk.prompt_token_ids, out);
  }
  append_usage_member(chunk.usage, out);
  out += '}';
}

void ChunkWriter::usage(const Usage& usage, std::string& out) const {
  out += prefix_;
  out += R"(],"usage":)";
  append_usage(usage, out);
  out += '}';
}

}  // namespace herd::openai
