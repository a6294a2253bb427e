// A rank's command line: what a node writes is what the rank's process reads.

#include "commands/rank_flags.h"

#include <gtest/gtest.h>

#include <set>

#include <CLI/CLI.hpp>

namespace herd::commands {
namespace {

RankFlags parsed(std::vector<std::string> words) {
  CLI::App app;
  RankFlags flags;
  add_rank_flags(app, flags);
  app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  return flags;
}

RankFlags all_said() {
  RankFlags flags;
  flags.process.cluster = "lab";
  flags.process.node = "a";
  flags.process.rank = 3;
  flags.process.host = "::1";
  flags.process.port = 7001;
  flags.process.link_fd = 3;
  flags.process.descriptors_fd = 4;
  flags.process.progress_fd = 5;
  flags.process.cpu_sharers = 6;
  flags.replica = 7;
  flags.tls_authority = "/t/ca.pem";
  flags.tls_certificate = "/t/a.pem";
  flags.tls_key = "/t/a.key";
  flags.metrics_host = "10.0.0.1";
  flags.metrics_port = 9101;
  flags.shutdown_timeout = 30.5;
  flags.served_name = "a model";
  flags.log_format = "json";
  return flags;
}

TEST(RankFlags, WhatANodeWritesIsWhatARankReads) {
  const std::vector<std::string> words = rank_words(all_said());
  const RankFlags flags = parsed(words);
  EXPECT_EQ(rank_words(flags), words);
  EXPECT_EQ(flags.process.host, "::1");
  EXPECT_EQ(flags.process.descriptors_fd, 4);
  EXPECT_EQ(flags.replica, 7U);
  EXPECT_EQ(flags.shutdown_timeout, 30.5);
  EXPECT_EQ(flags.served_name, "a model");
}

TEST(RankFlags, EveryFlagIsWritten) {
  CLI::App app;
  RankFlags flags;
  add_rank_flags(app, flags);
  const std::vector<std::string> words = rank_words(all_said());
  std::set<std::string> written;
  for (std::size_t i = 0; i < words.size(); i += 2) written.insert(words[i]);
  for (const CLI::Option* option : app.get_options())
    if (option->get_name() != "--help") EXPECT_TRUE(written.contains(option->get_name())) << option->get_name();
}

TEST(RankFlags, WithoutTlsNoFileIsNamed) {
  RankFlags flags = all_said();
  flags.tls_authority = flags.tls_certificate = flags.tls_key = "";
  const std::vector<std::string> words = rank_words(flags);
  for (const std::string& word : words) EXPECT_FALSE(word.starts_with("--tls")) << word;
  EXPECT_TRUE(parsed(words).tls_key.empty());
}

}  // namespace
}  // namespace herd::commands
