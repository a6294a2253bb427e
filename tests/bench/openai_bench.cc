// openai_bench: what the protocol costs beside the tokens: nanoseconds per stream chunk, per whole answer and per parse
// of a chat body. Prints a table. Times are CPU time of the one thread, so that a busy machine does not count.

#include <time.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "endpoint/openai/openai_request.h"
#include "endpoint/openai/openai_response.h"

namespace {

using namespace herd;
using namespace herd::openai;

double thread_nanoseconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

// The best of five runs of at least 0.2 s: the others met an interrupt or a cold cache.
template <class Work>
void bench(const char* name, Work work) {
  double best = 0.0;
  std::size_t bytes = 0;
  for (int run = 0; run < 5; ++run) {
    std::size_t rounds = 0;
    const double start = thread_nanoseconds();
    double spent = 0.0;
    while (spent < 2e8) {
      for (int i = 0; i < 1000; ++i) bytes = work();
      rounds += 1000;
      spent = thread_nanoseconds() - start;
    }
    const double each = spent / static_cast<double>(rounds);
    if (run == 0 || each < best) best = each;
  }
  std::printf("%-44s %7zu bytes %9.1f ns %12.0f /s\n", name, bytes, best, 1e9 / best);
}

RequestLimits limits() {
  RequestLimits limits;
  limits.vocab_size = 128256;
  limits.prompt_bytes_max = 1U << 20U;
  limits.prompt_tokens_max = 1U << 17U;
  return limits;
}

// A chat as clients send it: system, three turns, the usual sampling fields; 886 bytes.
std::string chat_body() {
  std::string body =
      R"({"model":"meta-llama/Llama-3.2-1B-Instruct","messages":[{"role":"system","content":"You are a helpful)"
      R"( assistant. Answer briefly and in plain words."},{"role":"user","content":"What is the capital of France,)"
      R"( and how many people live there?"},{"role":"assistant","content":"Paris. About two million people live in)"
      R"( the city itself, and some twelve million in the region around it."},{"role":"user","content":[{"type":)"
      R"("text","text":"And of \"Deutschland\"?\n"},{"type":"text","text":"Please compare the two in one)"
      R"( sentence."}]}],"max_tokens":256,"temperature":0.7,"top_p":0.95,"n":1,"stream":true,"stream_options":)"
      R"({"include_usage":true},"stop":["\n\n","User:"],"presence_penalty":0.1,"frequency_penalty":0.0,)"
      R"("seed":1234,"user":")";
  const std::string tail = R"("})";
  body.append(886 - body.size() - tail.size(), 'u');
  return body + tail;
}

std::string ids_body(std::size_t count) {
  std::string body = R"({"prompt":[)";
  for (std::size_t i = 0; i < count; ++i) body += std::to_string(i * 7919 % 128000) + ",";
  body.back() = ']';
  return body + R"(,"max_tokens":16})";
}

void bench_parsing() {
  const RequestLimits limit = limits();
  const std::string chat = chat_body();
  if (!parse_chat(chat, limit)) std::abort();
  bench("parse: chat body", [&] { return parse_chat(chat, limit) ? chat.size() : 0; });
  const std::string ids = ids_body(1000);
  if (!parse_completion(ids, limit)) std::abort();
  bench("parse: completion, 1000 token ids", [&] { return parse_completion(ids, limit) ? ids.size() : 0; });
  const std::string wrong = R"({"messages":[{"role":"user","content":"Hi"}],"temperature":1e400})";
  bench("parse: refused, temperature 1e400", [&] { return parse_chat(wrong, limit) ? 0 : wrong.size(); });
}

void bench_writing() {
  const TokenBytes token_bytes = [](TokenId) { return std::string_view(" word"); };
  std::string out;
  out.reserve(1U << 16U);
  for (const Endpoint endpoint : {Endpoint::kChat, Endpoint::kCompletion}) {
    const bool chat = endpoint == Endpoint::kChat;
    AnswerHead head{endpoint, "chatcmpl-0123456789abcdef01234567", 1750000000, "meta-llama/Llama-3.2-1B-Instruct"};
    const ChunkWriter writer(head, token_bytes);
    const auto chunk_of = [&out](const ChunkWriter& to, const ChunkReport& chunk) {
      out.clear();
      to.token(chunk, out);
      return out.size();
    };
    ChunkReport chunk;
    chunk.text = " word";
    bench(chat ? "chunk: chat" : "chunk: completion", [&] { return chunk_of(writer, chunk); });
    chunk.text = "\"line\"\n";
    bench(chat ? "chunk: chat, escapes" : "chunk: completion, escapes", [&] { return chunk_of(writer, chunk); });
    head.logprobs = 5;
    const ChunkWriter with_logprobs(head, token_bytes);
    const TokenReport report{7, -0.25F, {{7, -0.25F}, {8, -1.5F}, {9, -2.125F}, {10, -3.0625F}, {11, -4.7182817F}}, 3};
    chunk.tokens = {&report, 1};
    bench(chat ? "chunk: chat, 5 logprobs" : "chunk: completion, 5 logprobs",
          [&] { return chunk_of(with_logprobs, chunk); });
  }
  const AnswerHead head{Endpoint::kChat, "chatcmpl-0123456789abcdef01234567", 1750000000, "demo"};
  ChoiceReport choice;
  for (int i = 0; i < 256; ++i) choice.text += " word";
  choice.finish_reason = "stop";
  const std::vector<ChoiceReport> choices = {choice};
  const Usage usage{100, 256, 64};
  bench("whole answer: chat, 256 words", [&] { return whole_answer(head, choices, usage, token_bytes).size(); });
}

}  // namespace

int main() {
  bench_parsing();
  bench_writing();
  return 0;
}
