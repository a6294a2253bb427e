// config.json and generation_config.json: what transformers writes, old and new, and what herd refuses by name.

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/checkpoint/generation_config.h"
#include "runtime/model/llama_config.h"

namespace herd::model {
namespace {

// Llama 3.2 1B without its rope fields, `more` inserted before the closing brace.
std::string config_json(const std::string& more) {
  return R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":2048,"num_hidden_layers":16,)"
         R"("num_attention_heads":32,"num_key_value_heads":8,"intermediate_size":8192,"vocab_size":128256,)"
         R"("rms_norm_eps":1e-05,"max_position_embeddings":131072,"hidden_act":"silu")" +
         (more.empty() ? "" : "," + more) + "}";
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string config_error_of(const std::string& text) {
  const auto config = parse_config_json(text, "m/config.json");
  return config ? "" : config.error().message();
}

TEST(ConfigJson, ReadsLlama32) {
  const auto parsed = parse_config_json(
      config_json(
          R"("head_dim":64,"rope_theta":500000.0,"tie_word_embeddings":true,"torch_dtype":"bfloat16",)"
          R"("bos_token_id":128000,"eos_token_id":[128001,128008,128009],"attention_bias":false,"mlp_bias":false,)"
          R"("rope_scaling":{"rope_type":"llama3","factor":32.0,"low_freq_factor":1.0,"high_freq_factor":4.0,)"
          R"("original_max_position_embeddings":8192})"),
      "config.json");
  ASSERT_TRUE(parsed) << parsed.error().message();
  const LlamaConfig& config = parsed->config;
  EXPECT_EQ(config.hidden_size, 2048);
  EXPECT_EQ(config.layers, 16);
  EXPECT_EQ(config.heads, 32);
  EXPECT_EQ(config.kv_heads, 8);
  EXPECT_EQ(config.head_dim, 64);
  EXPECT_EQ(config.kv_size(), 512);
  EXPECT_EQ(config.intermediate_size, 8192);
  EXPECT_EQ(config.vocab_size, 128256);
  EXPECT_EQ(config.rms_norm_eps, 1e-5F);
  EXPECT_EQ(config.max_position_embeddings, 131072);
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_EQ(parsed->tie_word_embeddings, true);
  EXPECT_EQ(parsed->torch_dtype, DType::kBF16);
  EXPECT_EQ(config.bos_id, 128000);
  EXPECT_EQ(config.eos_ids, (std::vector<TokenId>{128001, 128008, 128009}));
  const RopeConfig rope{.theta = 500000.0,
                        .type = RopeType::kLlama3,
                        .factor = 32.0,
                        .low_freq_factor = 1.0,
                        .high_freq_factor = 4.0,
                        .original_max_position_embeddings = 8192,
                        .frequency_divisors = {}};
  EXPECT_EQ(config.rope, rope);
}

TEST(ConfigJson, OldAndNewSpellingsOfRopeAreOneConfig) {
  const std::string scaling =
      R"("factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":8192)";
  const std::string spellings[] = {
      R"("rope_theta":500000,"rope_scaling":{"rope_type":"llama3",)" + scaling + "}",
      R"("rope_theta":500000.0,"rope_scaling":{"type":"llama3",)" + scaling + "}",
      R"("rope_scaling":null,"rope_parameters":{"rope_theta":500000.0,"rope_type":"llama3",)" + scaling + "}",
  };
  for (const std::string& spelling : spellings) {
    const auto parsed = parse_config_json(config_json(spelling), "config.json");
    ASSERT_TRUE(parsed) << parsed.error().message();
    EXPECT_EQ(parsed->config.rope.theta, 500000.0);
    EXPECT_EQ(parsed->config.rope.type, RopeType::kLlama3);
    EXPECT_EQ(parsed->config.rope.factor, 8.0);
  }
  const auto plain =
      parse_config_json(config_json(R"("rope_parameters":{"rope_theta":10000.5,"rope_type":"default"})"), "c");
  ASSERT_TRUE(plain) << plain.error().message();
  EXPECT_EQ(plain->config.rope.theta, 10000.5);
  EXPECT_EQ(plain->config.rope.type, RopeType::kDefault);
}

TEST(ConfigJson, AbsentAndNullFieldsTakeTheirDefaults) {
  for (const std::string nulls :
       {"", R"("head_dim":null,"rope_scaling":null,"torch_dtype":null,"eos_token_id":null,"quantization_config":null,)"
            R"("sliding_window":null,"tie_word_embeddings":null,"attention_bias":null,"rope_theta":null)"}) {
    const auto parsed = parse_config_json(
        replaced(config_json(nulls), R"("num_key_value_heads":8,)", R"("num_key_value_heads":null,)"), "c");
    ASSERT_TRUE(parsed) << parsed.error().message();
    EXPECT_EQ(parsed->config.kv_heads, 32);
    EXPECT_EQ(parsed->config.head_dim, 64);
    EXPECT_EQ(parsed->config.rope, RopeConfig{});
    EXPECT_FALSE(parsed->tie_word_embeddings);
    EXPECT_FALSE(parsed->torch_dtype);
    EXPECT_TRUE(parsed->config.eos_ids.empty());
    EXPECT_FALSE(parsed->config.attention_bias);
  }
}

TEST(ConfigJson, FieldsThatChangeNothingPass) {
  for (const char* more : {R"("dtype":"float16","torch_dtype":"float32")", R"("torch_dtype":"torch.bfloat16")",
                           R"("sliding_window":4096,"use_sliding_window":false)", R"("sliding_window":131072)",
                           R"("pad_token_id":-1,"eos_token_id":2,"bos_token_id":-1)", R"("partial_rotary_factor":1.0)",
                           R"("head_dim":128)", R"("pretraining_tp":2,"use_cache":true)"}) {
    EXPECT_EQ(config_error_of(config_json(more)), "") << more;
  }
  EXPECT_EQ(parse_config_json(config_json(R"("dtype":"float16","torch_dtype":"float32")"), "c")->torch_dtype,
            DType::kF16);
}

// What Python's json module reads, where nobody reads it.
TEST(ConfigJson, PythonsJsonPassesInFieldsThatNobodyReads) {
  std::string deep = "1";
  for (int i = 0; i < 100; ++i) deep = R"({"a":[)" + deep + "]}";
  const std::string fields[] = {
      R"("a":NaN)",
      R"("a":[0.0, Infinity,-Infinity],"b":{"c":NaN })",
      R"("a":"\ud800","b":"\udc00\ud83d\ude00","\ud800":1)",
      R"("a":123456789012345678901234567890,"b":1e400,"c":-0)",
      R"("a":1,"a":"last","b":{"c":1,"c":2})",
      R"("a":"NaN","b":"\\","c":"\"Infinity")",
      R"("a":)" + deep,
      R"("torch_dtype":"auto","initializer_range":"small","use_cache":7,"transformers_version":null)",
  };
  for (const std::string& more : fields) EXPECT_EQ(config_error_of(config_json(more)), "") << more;
  const std::string twice = replaced(config_json(""), R"("vocab_size":128256)", R"("vocab_size":7,"vocab_size":9)");
  EXPECT_EQ(parse_config_json(twice, "c")->config.vocab_size, 9);
}

// The order of transformers 5.
TEST(ConfigJson, RopeFieldsThatContradictHaveOneOrder) {
  const std::string llama3 = R"("rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0)";
  const struct {
    std::string fields;
    RopeType type;
    double theta;
    int original;
  } cases[] = {
      {R"("rope_theta":5e5,"rope_scaling":{)" + llama3 + R"(},"rope_parameters":{"rope_theta":2e4})",
       RopeType::kLlama3, 5e5, 131072},
      {R"("rope_scaling":{"rope_theta":3e4},"rope_parameters":{)" + llama3 + "}", RopeType::kDefault, 3e4, 0},
      {R"("rope_scaling":{},"rope_parameters":{"rope_theta":2e4,)" + llama3 + "}", RopeType::kLlama3, 2e4, 131072},
      {R"("rope_theta":7e4,"rope_parameters":{"rope_theta":2e4})", RopeType::kDefault, 2e4, 0},
      {R"("rope_theta":7e4,"rope_parameters":{"rope_type":"default","factor":4.0})", RopeType::kDefault, 7e4, 0},
      {R"("rope_scaling":{)" + llama3 + R"(,"original_max_position_embeddings":8192.0})", RopeType::kLlama3, 1e4, 8192},
      {R"("rope_scaling":{)" + llama3 + R"(},"original_max_position_embeddings":4096)", RopeType::kLlama3, 1e4, 4096},
      {R"("rope_scaling":{)" + llama3 +
           R"(,"original_max_position_embeddings":8192},"original_max_position_embeddings":4096)",
       RopeType::kLlama3, 1e4, 4096},
      {R"("original_max_position_embeddings":"unread")", RopeType::kDefault, 1e4, 0},
      {R"("rope_scaling":{"type":"linear",)" + llama3 + "}", RopeType::kLlama3, 1e4, 131072},
  };
  for (const auto& one : cases) {
    const auto parsed = parse_config_json(config_json(one.fields), "c");
    ASSERT_TRUE(parsed) << one.fields << "\n  gave: " << parsed.error().message();
    EXPECT_EQ(parsed->config.rope.type, one.type) << one.fields;
    EXPECT_EQ(parsed->config.rope.theta, one.theta) << one.fields;
    EXPECT_EQ(parsed->config.rope.original_max_position_embeddings, one.original) << one.fields;
  }
  EXPECT_NE(config_error_of(config_json(R"("rope_scaling":{"original_max_position_embeddings":0.5,)" + llama3 + "}"))
                .find("rope_scaling.original_max_position_embeddings: 5E-1 is not a number in"),
            std::string::npos);
}

TEST(ConfigJson, OtherSpellingsOfOneModel) {
  for (const char* name : {"LLaMAForCausalLM", "LlamaModel"})
    EXPECT_EQ(config_error_of(replaced(config_json(""), "LlamaForCausalLM", name)), "") << name;
  EXPECT_EQ(config_error_of(replaced(config_json(""), R"(["LlamaForCausalLM"])", R"(["X","LlamaForCausalLM"])")), "");
  EXPECT_EQ(config_error_of(replaced(config_json(""), R"(["LlamaForCausalLM"])", "[]")), "");
  EXPECT_EQ(config_error_of(replaced(config_json(""), "silu", "swish")), "");
}

// Windows are fields of other models; whoever set one should know.
TEST(ConfigJson, AWindowIsNotUsedAndSaidSo) {
  const auto parsed = parse_config_json(config_json(R"("sliding_window":4096)"), "m/config.json");
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->warnings, (std::vector<std::string>{"m/config.json: sliding_window: 4096 is not used: a Llama "
                                                        "attends to its whole context"}));
  for (const char* more : {R"("sliding_window":4096,"use_sliding_window":false)", R"("sliding_window":131072)",
                           R"("sliding_window":null)", R"("sliding_window":"none")", R"("sliding_window":0)"}) {
    const auto other = parse_config_json(config_json(more), "c");
    ASSERT_TRUE(other) << other.error().message();
    EXPECT_TRUE(other->warnings.empty()) << more;
  }
}

TEST(ConfigJson, UnsupportedModelsAreRefusedByFieldAndValue) {
  const std::pair<std::string, std::string> cases[] = {
      {R"("rope_scaling":{"type":"linear","factor":2.0})", R"(rope_scaling.type: "linear" is not supported yet)"},
      {R"("rope_scaling":{"rope_type":"dynamic","factor":2.0})",
       R"(rope_scaling.rope_type: "dynamic" is not supported yet)"},
      {R"("rope_scaling":{"rope_type":"yarn"})", R"(rope_scaling.rope_type: "yarn" is not supported yet)"},
      {R"("rope_parameters":{"rope_type":"longrope"})",
       R"(rope_parameters.rope_type: "longrope" is not supported yet)"},
      {R"("rope_scaling":{"factor":2.0})", "rope_scaling.rope_type: is missing"},
      {R"("rope_scaling":{"rope_type":"llama3","factor":8.0})", "rope_scaling.low_freq_factor: is missing"},
      {R"("rope_parameters":{"full_attention":{"rope_type":"default"}})",
       "rope_parameters.full_attention: {\"rope_type\":\"default\"} is not supported yet"},
      {R"("is_causal":false)", "is_causal: false is not supported yet"},
      {R"("rope_scaling":"llama3")", R"(rope_scaling: "llama3" is not an object)"},
      {R"("quantization_config":{"bits":4,"group_size":128,"quant_method":"gptq"})",
       R"(quantization_config.quant_method: "gptq" is not supported yet)"},
      {R"("quantization_config":{"quant_method":"awq","version":"gemm"})",
       R"(quantization_config.quant_method: "awq" is not supported yet)"},
      {R"("quantization_config":{"quant_method":"fp8","activation_scheme":"static"})",
       R"(quantization_config.quant_method: "fp8" is not supported yet)"},
      {R"("quantization_config":{"load_in_4bit":true,"quant_method":"bitsandbytes"})",
       R"(quantization_config.quant_method: "bitsandbytes" is not supported yet)"},
      {R"("quantization_config":{"config_groups":{},"quant_method":"compressed-tensors"})",
       R"(quantization_config.quant_method: "compressed-tensors" is not supported yet)"},
      {R"("quantization_config":{"quant_method":{"name":"x"}})",
       R"(quantization_config.quant_method: {"name":"x"} is not supported yet)"},
      {R"("quantization_config":{"load_in_8bit":true})",
       R"(quantization_config: {"load_in_8bit":true} is not supported yet)"},
      {R"("quantization_config":{})", "quantization_config: {} is not supported yet"},
      {R"("quantization_config":"gptq")", R"(quantization_config: "gptq" is not an object)"},
      {R"("partial_rotary_factor":0.5)", "partial_rotary_factor: 5E-1 is not supported yet"},
  };
  for (const auto& [more, expected] : cases) {
    const std::string error = config_error_of(config_json(more));
    EXPECT_EQ(error.find("m/config.json: " + expected), 0u) << more << "\n  gave: " << error;
  }
  EXPECT_NE(config_error_of(replaced(config_json(""), "LlamaForCausalLM", "MistralForCausalLM"))
                .find(R"(architectures: ["MistralForCausalLM"] is not supported yet)"),
            std::string::npos);
  EXPECT_NE(config_error_of(replaced(config_json(""), R"("model_type":"llama")", R"("model_type":"phi3")"))
                .find(R"(model_type: "phi3" is not supported yet)"),
            std::string::npos);
  EXPECT_NE(
      config_error_of(replaced(config_json(""), R"("silu")", R"("gelu")")).find(R"(hidden_act: "gelu" is not supported yet)"),
      std::string::npos);
}

TEST(ConfigJson, NumbersOutsideTheirBoundsAreRefusedByField) {
  const struct {
    const char* from;
    const char* to;
    const char* expected;
  } cases[] = {
      {R"("hidden_size":2048,)", "", "hidden_size: is missing"},
      {R"("hidden_size":2048)", R"("hidden_size":"2048")", R"(hidden_size: "2048" is not an integer)"},
      {R"("hidden_size":2048)", R"("hidden_size":2048.0)", "hidden_size: 2.048E3 is not an integer"},
      {R"("hidden_size":2048)", R"("hidden_size":[2048])", "hidden_size: [2048] is not an integer"},
      {R"("hidden_size":2048)", R"("hidden_size":2049)",
       "hidden_size: 2049 is not a multiple of num_attention_heads 32"},
      {R"("hidden_size":2048)", R"("hidden_size":2097152)", "hidden_size: 2097152 is not in [1, 1048576]"},
      {R"("hidden_size":2048)", R"("hidden_size":99999999999)",
       "hidden_size: 99999999999 is not an integer in [0, 2147483647]"},
      {R"("num_hidden_layers":16)", R"("num_hidden_layers":0)", "num_hidden_layers: 0 is not in [1, 1024]"},
      {R"("num_hidden_layers":16)", R"("num_hidden_layers":-1)", "num_hidden_layers: -1 is not an integer"},
      {R"("num_attention_heads":32)", R"("num_attention_heads":0)", "num_attention_heads: 0 is not in [1, 4096]"},
      {R"("num_key_value_heads":8)", R"("num_key_value_heads":5)",
       "num_attention_heads: 32 is not a multiple of num_key_value_heads 5"},
      {R"("num_attention_heads":32)", R"("num_attention_heads":32,"head_dim":63)", "head_dim: 63 is odd"},
      {R"("num_attention_heads":32)", R"("num_attention_heads":32,"head_dim":2048)",
       "head_dim: 2048 is not in [1, 1024]"},
      {R"("intermediate_size":8192)", R"("intermediate_size":0)", "intermediate_size: 0 is not in"},
      {R"("vocab_size":128256)", R"("vocab_size":4194305)", "vocab_size: 4194305 is not in [1, 4194304]"},
      {R"("vocab_size":128256)", R"("vocab_size":128256,"eos_token_id":"</s>")",
       R"(eos_token_id: "</s>" is not an integer)"},
      {"1e-05", "0", "rms_norm_eps: 0 is not a number in"},
      {"1e-05", "1e999", "rms_norm_eps: "},
      {"131072", "1073741824", "max_position_embeddings: 1073741824 is not in"},
      {R"("hidden_act":"silu")", R"("hidden_act":"silu","rope_theta":0.5)", "rope_theta: 5E-1 is not a number in"},
      {R"("hidden_act":"silu")", R"("tie_word_embeddings":1)", "tie_word_embeddings: 1 is not true or false"},
      {R"("hidden_act":"silu")", R"("vocab_size":0)", "vocab_size: 0 is not in [1, 4194304]"},  // the last counts
      {R"("hidden_act":"silu")", R"("rope_theta":Infinity)", "rope_theta: Infinity is not a number in"},
      {"1e-05", "-Infinity", "rms_norm_eps: -Infinity is not a number in"},
      {"1e-05", "NaN", "rms_norm_eps: NaN is not a number in"},
      {R"("hidden_size":2048)", R"("hidden_size":NaN)", "hidden_size: NaN is not an integer"},
      {R"("hidden_act":"silu")", R"("hidden_act":NaN)", "hidden_act: NaN is not text"},
      {R"("hidden_act":"silu")", R"("a":NaNs)", "not valid JSON near byte"},
      {R"("hidden_act":"silu")", R"("a":1NaN)", "not valid JSON near byte"},
      {R"("hidden_act":"silu")", R"(NaN:1)", "not valid JSON near byte"},
      {R"("hidden_act":"silu"})", R"("hidden_act":"silu"}})", "not valid JSON near byte"},
      {R"("hidden_act":"silu"})", R"("hidden_act":"silu")", "not valid JSON near byte"},
  };
  for (const auto& bad : cases) {
    const std::string error = config_error_of(replaced(config_json(""), bad.from, bad.to));
    EXPECT_EQ(error.find(std::string("m/config.json: ") + bad.expected), 0u) << bad.to << "\n  gave: " << error;
  }
  EXPECT_EQ(config_error_of("[]"), "m/config.json: is not a JSON object");
  EXPECT_NE(config_error_of(std::string(100'000, '[')).find("not valid JSON"), std::string::npos);
}

TEST(ConfigJson, HostileListsEndQuickly) {
  const auto begin = std::chrono::steady_clock::now();
  std::string ids = "\"eos_token_id\":[";
  for (int i = 0; i < 200'000; ++i) ids += "\"x\",";
  EXPECT_NE(config_error_of(config_json(ids + "1]")).find("eos_token_id: "), std::string::npos);
  ids = "\"eos_token_id\":[";
  for (int i = 0; i < 150'000; ++i) ids += std::to_string(i) + ",";
  const auto generation = parse_generation_config("{" + ids + "1]}", "g");
  ASSERT_FALSE(generation);
  EXPECT_NE(generation.error().message().find("more than 1024 ids"), std::string::npos);
  EXPECT_NE(config_error_of(config_json(ids + "1]")).find("eos_token_id: has more than 1024 ids"), std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST(LlamaConfig, ValidateChecksDivisors) {
  LlamaConfig config = parse_config_json(config_json(""), "c")->config;
  config.rope.frequency_divisors.assign(31, 1.0F);
  EXPECT_NE(config.validate().message().find("number of RoPE frequency divisors: 31"), std::string::npos);
  config.rope.frequency_divisors.assign(32, 1.0F);
  EXPECT_TRUE(config.validate().ok());
  config.rope.frequency_divisors[3] = 0.0F;
  EXPECT_NE(config.validate().message().find("RoPE frequency divisor: 0"), std::string::npos);
}

}  // namespace
}  // namespace herd::model
