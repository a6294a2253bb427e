#pragma once
// What a load run asks an endpoint before the first request: is it there, which model, which token ids.

#include <functional>
#include <string>
#include <vector>

#include "commands/load/load_client.h"

namespace herd::load {

// `wanted`, or when it is empty the first of /v1/models. Asks in either case, so that an endpoint out of reach is found
// out here; asks again for `wait_s` seconds until the answer is a 200 or stop() is true. kMissing.
[[nodiscard]] Expected<std::string> find_model(ClientOptions options, const std::string& wanted, double wait_s,
                                               const std::function<bool()>& stop);

// Ids that the server's tokenizer makes of plain words, by /tokenize (vLLM's, ours): prompts of them have exactly the
// length asked for. Empty when the server has no such route.
[[nodiscard]] std::vector<TokenId> server_alphabet(ClientOptions options, const std::string& model);

}  // namespace herd::load
