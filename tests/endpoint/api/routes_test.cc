// Routes: path and method -> what is asked.

#include <gtest/gtest.h>

#include <string>

#include "endpoint/api/routes.h"

namespace herd::api {
namespace {

struct Known {
  const char* path;
  Route route;
  const char* allowed;
};

constexpr Known kKnown[] = {
    {"/health", Route::kHealth, "GET, HEAD"},
    {"/live", Route::kLive, "GET, HEAD"},
    {"/ready", Route::kReady, "GET, HEAD"},
    {"/ping", Route::kPing, "GET, HEAD, POST"},
    {"/load", Route::kLoad, "GET, HEAD"},
    {"/version", Route::kVersion, "GET, HEAD"},
    {"/metrics", Route::kMetrics, "GET, HEAD"},
    {"/openapi.json", Route::kOpenApi, "GET, HEAD"},
    {"/v1/models", Route::kModels, "GET, HEAD"},
    {"/v1/completions", Route::kCompletions, "POST"},
    {"/v1/chat/completions", Route::kChatCompletions, "POST"},
    {"/tokenize", Route::kTokenize, "POST"},
    {"/detokenize", Route::kDetokenize, "POST"},
    {"/ui/status.json", Route::kPageStatus, "GET, HEAD"},
    {"/ui", Route::kPage, "GET, HEAD"},
};

TEST(Routes, EveryRouteIsFoundByItsMethodsAndTellsThemToOthers) {
  for (const Known& known : kKnown) {
    for (const char* method : {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "get", ""}) {
      const bool allowed = (std::string(", ") + known.allowed + ", ").find(std::string(", ") + method + ", ") !=
                           std::string::npos;
      const auto found = find_route(method, known.path);
      if (allowed) {
        ASSERT_TRUE(std::holds_alternative<Route>(found)) << method << " " << known.path;
        EXPECT_EQ(std::get<Route>(found), known.route) << known.path;
      } else {
        ASSERT_TRUE(std::holds_alternative<WrongMethod>(found)) << method << " " << known.path;
        EXPECT_EQ(std::get<WrongMethod>(found).allowed, known.allowed) << known.path;
      }
    }
    EXPECT_STREQ(route_path(known.route), known.path);
  }
}

TEST(Routes, EveryFileOfThePagesIsOneRoute) {
  for (const char* path : {"/ui", "/ui/", "/ui/chat", "/ui/chat.js", "/ui/pages.css"}) {
    const auto found = find_route("HEAD", path);
    ASSERT_TRUE(std::holds_alternative<Route>(found)) << path;
    EXPECT_EQ(std::get<Route>(found), Route::kPage) << path;
    EXPECT_TRUE(std::holds_alternative<WrongMethod>(find_route("POST", path))) << path;
  }
}

TEST(Routes, PathsAreComparedAsTheyAre) {
  for (const char* path : {"", "/", "/health/", "//health", "/Health", "/v1", "/v1/", "/v1/models/", "/v1/modelsx",
                           "/v1/chat", "/ui/status", "/ui/x", "/%68ealth", "/health?x", "health", "/v1/../health", "*"})
    EXPECT_TRUE(std::holds_alternative<NoSuchRoute>(find_route("GET", path))) << path;
}

TEST(Routes, OneModelIsFoundByItsNameHoweverItIsWritten) {
  const struct {
    const char* path;
    const char* name;
  } rows[] = {{"/v1/models/demo_model", "demo_model"},
              {"/v1/models/meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-1B"},
              {"/v1/models/meta-llama%2FLlama-3.2-1B", "meta-llama/Llama-3.2-1B"},
              {"/v1/models/a%2fb%", "a/b%"},
              {"/v1/models/%zz%4", "%zz%4"}};
  for (const auto& row : rows) {
    const auto found = find_route("GET", row.path);
    ASSERT_TRUE(std::holds_alternative<Route>(found)) << row.path;
    EXPECT_EQ(std::get<Route>(found), Route::kModel) << row.path;
    EXPECT_EQ(model_of_path(row.path), row.name);
    EXPECT_TRUE(std::holds_alternative<WrongMethod>(find_route("POST", row.path)));
  }
}

TEST(Routes, OnlyWhatSupervisorsAskAndThePagesThemselvesArePublic) {
  for (const Known& known : kKnown) {
    const bool probe = known.route == Route::kHealth || known.route == Route::kLive || known.route == Route::kReady ||
                       known.route == Route::kPing;
    EXPECT_EQ(is_public(known.route), probe || known.route == Route::kPage) << known.path;
  }
}

TEST(Routes, WhatRunsTheModelTakesJson) {
  for (const Known& known : kKnown) {
    const bool runs = known.route == Route::kCompletions || known.route == Route::kChatCompletions;
    const bool text = known.route == Route::kTokenize || known.route == Route::kDetokenize;
    EXPECT_EQ(generates(known.route), runs) << known.path;
    EXPECT_EQ(takes_json(known.route), runs || text) << known.path;
  }
}

}  // namespace
}  // namespace herd::api
