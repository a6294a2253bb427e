// The keys of a cluster file beside the flags of `herd serve`: one table, so that neither drifts. A new flag of serve fails here until
// it has a key, or a reason to have none.

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include <CLI/CLI.hpp>
#include <gtest/gtest.h>

#include "cluster/config/setting_table.h"
#include "cluster/config/units.h"
#include "commands/serve_flags.h"

namespace herd::commands {
namespace {

using config::ClusterSpec;
using config::GatewaySpec;
using config::NodeSpec;
using config::Setting;
using config::ValueKind;

// Flags without a key, and why.
const std::map<std::string, std::string> kWithoutKey = {
    {"--help", "of the command line"},
    {"--quiet", "of the command line: what a person at a terminal wants to see"},
    {"--use-gpu", "nodes[].devices says it"},
    {"--api-key", "a file that everybody reads is no place for keys; http.api_key_file is"},
};

// Every setting that is a flag, of all parts of the file. `visit`(setting, flags made of a value that `put` writes).
template <class Visit>
void for_each_flag(Visit visit) {
  for (const config::Section& section : config::sections())
    for (const auto& field : section.fields)
      if (!field.setting.flag.empty())
        visit(field.setting, [&](const auto& put) {
          ClusterSpec spec;
          put(field.slot(spec));
          return config::serve_flags_of(spec, nullptr);
        });
  for (const auto& field : config::gateway_fields())
    if (!field.setting.flag.empty())
      visit(field.setting, [&](const auto& put) {
        GatewaySpec gateway;
        put(field.slot(gateway));
        return config::serve_flags_of({}, &gateway);
      });
  for (const auto& field : config::node_fields())
    if (!field.setting.flag.empty())
      visit(field.setting, [&](const auto& put) {
        NodeSpec node;
        put(field.slot(node));
        const std::string value = config::value_text(field.setting, field.slot(node));
        return value.empty() ? std::vector<std::string>{} : std::vector{std::string(field.setting.flag) + "=" + value};
      });
}

// Parsed and judged as `herd serve` does; the words of a refusal, or nothing.
std::string serve_says(const std::vector<std::string>& words, ServeFlags& flags) {
  CLI::App app;
  add_serve_flags(app, flags);
  try {
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::ParseError& error) {
    return error.what();
  }
  if (Status status = check(flags); !status.ok()) return status.message();
  flags.model.model_path = "/m";
  const auto options = engine_options(flags.model);
  return options ? std::string() : options.error().message();
}

std::string serve_says(const std::vector<std::string>& words) {
  ServeFlags flags;
  return serve_says(words, flags);
}

auto all_of(const ServeFlags& f) {
  const ModelFlags& m = f.model;
  const http::HttpLimits& l = f.http.limits;
  return std::tuple(
      std::tuple(m.weight_path, m.tokenizer_path, m.tokenizer_version, m.chat.format, m.chat.template_path, m.chat.date,
                 m.chat.special_in_content, m.encoding, m.load_format, m.devices, m.use_gpu,
                 m.gpu_memory_utilization, m.cuda_matmul, m.no_cuda_graphs, m.tensor_parallel, m.data_parallel, m.pipeline_parallel),
      std::tuple(m.threads, m.isa, m.layers, m.max_model_len, m.max_num_seqs, m.max_ce_batch_size, m.max_num_batched_tokens,
                 m.max_step_ms, m.block_size, m.num_blocks, m.kv_cache_memory, m.weights_seed, m.no_prefix_caching, m.quiet),
      std::tuple(f.http.host, f.http.port, f.http.tls_certificate, f.http.tls_key, f.http.threads, l.connections,
                 l.connections_per_ip, l.body_bytes, f.served_names, f.api_keys, f.api_key_file, f.metrics_port, f.metrics_host),
      std::tuple(f.allowed_origins, f.allowed_hosts, f.strict_fields, f.ui, f.request_timeout, f.request_timeout_max,
                 f.queued_requests_max, f.queued_tokens_max, f.policy, f.shutdown_timeout, f.text_threads, f.compute_nice),
      std::tuple(f.keep_alive, f.stalled, f.resume_key_file, f.log_format, f.log_level, f.log_requests, f.no_stats_line,
                 f.stats_interval, f.otlp_traces_endpoint));
}

std::string snake(std::string flag) {
  for (const char* beginning : {"--no-", "--disable-", "--"})
    if (flag.starts_with(beginning)) {
      flag.erase(0, std::string(beginning).size());
      break;
    }
  for (char& letter : flag)
    if (letter == '-') letter = '_';
  return flag;
}

TEST(ServeSettings, EveryFlagOfServeHasAKeyOrAReason) {
  std::set<std::string> with_key;
  for_each_flag([&](const Setting& setting, const auto&) { with_key.insert(std::string(setting.flag)); });
  CLI::App app;
  ServeFlags flags;
  add_serve_flags(app, flags);
  std::set<std::string> known;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_lnames().empty()) continue;  // the positional model
    const std::string flag = "--" + option->get_lnames().front();
    known.insert(flag);
    EXPECT_NE(with_key.contains(flag), kWithoutKey.contains(flag)) << flag << " needs a key in cluster/config/setting_table.cc, or a "
                                                                              "reason here";
  }
  for (const std::string& flag : with_key) EXPECT_TRUE(known.contains(flag)) << flag << " is none of serve's";
  for (const auto& [flag, reason] : kWithoutKey) EXPECT_TRUE(known.contains(flag)) << flag;
}

TEST(ServeSettings, AKeyIsNamedAsItsFlag) {
  for_each_flag([](const Setting& setting, const auto&) { EXPECT_EQ(setting.name, snake(std::string(setting.flag))); });
}

TEST(ServeSettings, WhatIsNotSaidIsWhatServeDoesWithoutFlags) {
  const GatewaySpec gateway;
  const auto words = config::serve_flags_of({}, &gateway);
  EXPECT_GT(words.size(), 25U) << "defaults are said, not left out";
  ServeFlags said, silent;
  EXPECT_EQ(serve_says(words, said), "");
  EXPECT_EQ(serve_says({}, silent), "");
  EXPECT_EQ(all_of(said), all_of(silent));
}

TEST(ServeSettings, EveryValueThatTheTableAllowsIsOneThatServeTakes) {
  int tried = 0;
  for_each_flag([&](const Setting& setting, const auto& flags_of) {
    const auto expect_taken = [&](const auto& put) {
      const auto words = flags_of(put);
      // The timeouts bound each other: both at once is another test's.
      if (setting.name == "request_timeout" || setting.name == "max_request_timeout") return;
      EXPECT_EQ(serve_says(words), "") << setting.flag;
      ++tried;
    };
    for (const std::string_view choice : setting.rule.choices)
      expect_taken([&](config::Slot slot) {
        if (auto* text = std::get_if<std::string*>(&slot)) **text = choice;
        else *std::get<std::int64_t*>(slot) = std::stoll(std::string(choice));
      });
    if (!setting.rule.choices.empty() && setting.rule.kind != ValueKind::kCountOrWord) return;
    for (const double value : {setting.rule.min, setting.rule.max}) {
      const bool open = setting.rule.kind == ValueKind::kNumber && value == setting.rule.min;
      if (open) continue;
      expect_taken([&](config::Slot slot) {
        auto* text = std::get_if<std::string*>(&slot);
        if (text != nullptr && setting.rule.kind == ValueKind::kCountOrWord) **text = std::to_string(static_cast<std::int64_t>(value));
        else if (auto* number = std::get_if<double*>(&slot)) **number = value;
        else if (auto* whole = std::get_if<std::int64_t*>(&slot)) **whole = static_cast<std::int64_t>(value);
        else if (auto* yes = std::get_if<bool*>(&slot)) **yes = value == setting.rule.min ? !**yes : **yes;
      });
    }
  });
  EXPECT_GT(tried, 80);
}

TEST(ServeSettings, WhatAClusterSaysArrivesInServesFlags) {
  ClusterSpec spec;
  spec.model.model_path = "/all";
  spec.model.served_model_name = {"a", "b"};
  spec.kv.kv_cache_memory = std::int64_t{4} << 30;
  spec.kv.enable_prefix_caching = false;
  spec.logs.log_stats = false;
  spec.compute.cuda_graphs = false;
  spec.http.strict_fields = true;
  spec.http.ui = true;
  spec.limits.request_timeout = 90.5;
  GatewaySpec gateway;
  gateway.port = 9000;
  ServeFlags flags;
  ASSERT_TRUE(take_settings(config::serve_flags_of(spec, &gateway), flags).ok());
  EXPECT_EQ(flags.model.model_path, "/all");
  EXPECT_EQ(flags.served_names, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(flags.model.kv_cache_memory, "4294967296");
  EXPECT_TRUE(flags.model.no_prefix_caching);
  EXPECT_TRUE(flags.no_stats_line);
  EXPECT_TRUE(flags.model.no_cuda_graphs);
  EXPECT_TRUE(flags.strict_fields);
  EXPECT_TRUE(flags.ui);
  EXPECT_EQ(flags.request_timeout, 90.5);
  EXPECT_EQ(flags.http.port, 9000);
}

TEST(ServeSettings, EffectiveSettingsSayTheWholeOfIt) {
  ClusterSpec spec;
  spec.name = "c";
  spec.limits.max_body_bytes = 3 << 20;
  std::map<std::string, config::EffectiveSetting> all;
  for (config::EffectiveSetting& setting : config::effective_settings(spec)) all[setting.key] = setting;
  EXPECT_EQ(all.at("limits.max_body_bytes").value, "3MiB");
  EXPECT_FALSE(all.at("limits.max_body_bytes").is_default);
  EXPECT_EQ(all.at("limits.request_timeout").value, "600s");
  EXPECT_TRUE(all.at("limits.request_timeout").is_default);
  EXPECT_EQ(all.at("scheduler.max_model_len").value, "");
  EXPECT_EQ(all.at("name").value, "c");
}

TEST(ServeSettings, WordsAboutFlagsBecomeWordsAboutKeys) {
  EXPECT_EQ(config::flags_as_keys("lower --max-model-len or raise --kv-cache-memory"),
            "lower scheduler.max_model_len or raise kv.kv_cache_memory");
  EXPECT_EQ(config::flags_as_keys("--max-num-seqs, --max-num-seqs-x, --block-size"),
            "scheduler.max_num_seqs, --max-num-seqs-x, kv.block_size");
}

// Every key whose value a gateway takes while it runs, and no other: a key that is moved in the table fails here until it is taken.
TEST(ServeSettings, AServerTakesWhatTheTableSaysThatItTakes) {
  int taken = 0;
  for (const config::Section& section : config::sections()) {
    for (const auto& field : section.fields) {
      if (field.setting.flag.empty()) continue;
      const config::TakenBy by = field.setting.taken_by;
      const bool live = by != config::TakenBy::kNobody && by != config::TakenBy::kNodes;
      ClusterSpec spec;
      const config::Slot slot = field.slot(spec);
      if (auto* number = std::get_if<std::int64_t*>(&slot)) **number += field.setting.rule.choices.empty() ? 1 : 0;
      else if (auto* real = std::get_if<double*>(&slot)) **real *= 0.5;
      else if (auto* yes = std::get_if<bool*>(&slot)) **yes = !**yes;
      else if (auto* text = std::get_if<std::string*>(&slot))
        **text = field.setting.rule.choices.empty() ? "/other" : std::string(field.setting.rule.choices.back());
      ServeFlags asked, running, before;
      const auto words = [](const ClusterSpec& said) { return config::serve_flags_of(said, nullptr); };
      (void)serve_says(words(spec), asked);
      (void)serve_says(words({}), running);
      (void)serve_says(words({}), before);
      take_live(asked, running);
      EXPECT_EQ(all_of(running) == all_of(asked), live || all_of(asked) == all_of(before)) << field.setting.name;
      EXPECT_EQ(all_of(running) != all_of(before), live) << field.setting.name;
      taken += live;
    }
  }
  EXPECT_GT(taken, 12);
}

}  // namespace
}  // namespace herd::commands
