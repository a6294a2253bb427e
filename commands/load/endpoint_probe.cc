#include "commands/load/endpoint_probe.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "commands/load/stream_chunk_json.h"

namespace herd::load {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kProbeTimeoutS = 30.0;
constexpr std::chrono::milliseconds kProbeInterval{200};

}  // namespace

Expected<std::string> find_model(ClientOptions options, const std::string& wanted, double wait_s,
                                 const std::function<bool()>& stop) {
  options.request_timeout_s = std::min(options.request_timeout_s, kProbeTimeoutS);
  const Clock::time_point deadline =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(wait_s));
  auto answer = fetch(options, "/v1/models", "");
  while ((!answer || answer->status != 200) && Clock::now() < deadline && !(stop && stop())) {
    std::this_thread::sleep_for(kProbeInterval);
    answer = fetch(options, "/v1/models", "");
  }
  if (!answer) return fail(answer.error());
  if (!wanted.empty()) return wanted;  // some servers have no /v1/models
  const std::string where = options.target.url() + "/v1/models";
  if (answer->status != 200)
    return fail(missing(where + " answered " + std::to_string(answer->status) + " (" + error_message(answer->body) +
                        "); --model names the model without asking"));
  auto model = first_model(answer->body);
  if (!model) return fail(missing(where + ": " + model.error().message() + "; --model names the model without asking"));
  return model;
}

std::vector<TokenId> server_alphabet(ClientOptions options, const std::string& model) {
  std::string words;
  for (const std::string& word : plain_words()) words += " " + word;
  options.request_timeout_s = std::min(options.request_timeout_s, kProbeTimeoutS);
  const auto answer = fetch(options, "/tokenize", tokenize_body(model, words));
  if (!answer || answer->status != 200) return {};
  return tokenized_ids(answer->body);
}

}  // namespace herd::load
