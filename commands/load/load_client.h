#pragma once
// The load client: sends a plan to an OpenAI-compatible endpoint over HTTP/1.1 and records what came back. One thread;
// a coroutine a request; a connection is kept and used again when its answer is over. No retries but one: a request
// on a kept connection that the server had closed before the first byte of an answer is sent again on a fresh one.

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "commands/load/load_plan.h"
#include "commands/load/request_body_json.h"
#include "commands/load/request_record.h"

namespace herd::load {

struct Target {
  bool tls = false;
  std::string host = {};  // name or address; an IPv6 address without its brackets
  std::string port = {};
  std::string base_path = {};  // "" or "/prefix", without a final slash

  [[nodiscard]] std::string url() const;
};

// "http://127.0.0.1:8000", "https://host/prefix", "[::1]:8000". kUsage.
[[nodiscard]] Expected<Target> parse_base_url(const std::string& url);

struct ClientOptions {
  Target target;
  std::string endpoint = "/v1/completions";                  // behind the base path
  bool chat = false;                                         // the answer's shape
  bool insecure = false;                                     // https: any certificate
  std::vector<std::pair<std::string, std::string>> headers;  // of every request
  std::size_t max_concurrency = 0;                           // 0: no limit
  double connect_timeout_s = 10.0;                           // TLS handshake included
  double request_timeout_s = 6.0 * 3600.0;                   // send to the answer's end (aiohttp's in vLLM)
  bool keep_text = false;                                    // RequestRecord.text
};

struct Progress {
  std::size_t requests = 0;
  std::size_t completed = 0;
  std::size_t refused = 0;
  std::size_t failed = 0;
  std::size_t running = 0;
  std::uint64_t chunks = 0;  // of completed requests
  double elapsed_s = 0.0;
};

// Both may be empty; called about 20 times a second on the thread that runs.
struct LoadHooks {
  std::function<void(const Progress&)> progress;
  std::function<bool()> stop;  // true: end now; what is under way becomes kUnfinished
};

struct LoadRun {
  std::vector<RequestRecord> records;  // in the order of the plan
  double duration_s = 0.0;             // start → the last answer's end
  bool interrupted = false;
};

// Blocks until every request has an outcome. kMissing when the host's name does not resolve; a request that cannot
// connect is a failed record, not an error.
[[nodiscard]] Expected<LoadRun> run_load(const ClientOptions& options, const std::vector<PlannedRequest>& plan,
                                         const BodyWriter& bodies, const LoadHooks& hooks);

struct Answer {
  int status = 0;
  std::string body;  // at most 16 MiB
};

// One request, blocking, on a connection of its own. An empty body sends GET, else POST. kMissing: cannot be reached,
// or no whole answer within options.request_timeout_s.
[[nodiscard]] Expected<Answer> fetch(const ClientOptions& options, const std::string& path, const std::string& body);

}  // namespace herd::load
