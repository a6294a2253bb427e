#pragma once
// A model's folder without weights: what a gateway needs of one. Tests spoil or add one file. Its tokenizer knows the
// 256 bytes, "ab" = 256 and the control tokens <end> = 257 and <turn> = 258; the model has 260 rows.

#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "endpoint/served/served_text.h"
#include "runtime/checkpoint/open_model.h"
#include "runtime/tokenizer/byte_alphabet.h"
#include "tests/runtime/checkpoint_bytes.h"

namespace herd::served::testing {

inline std::string config_json(int vocab_size = 260) {
  return R"({"architectures":["LlamaForCausalLM"],"hidden_size":32,"num_hidden_layers":2,"num_attention_heads":2,)"
         R"("num_key_value_heads":1,"head_dim":8,"intermediate_size":64,"rms_norm_eps":1e-5,"eos_token_id":5,)"
         R"("vocab_size":)" + std::to_string(vocab_size) + "}";
}

inline std::string tokenizer_json() {
  std::string vocabulary;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string spelled = tokenizer::bytes_to_alphabet(std::string(1, static_cast<char>(byte)));
    const std::string escaped = spelled == "\"" || spelled == "\\" ? "\\" + spelled : spelled;
    vocabulary += "\"" + escaped + "\":" + std::to_string(byte) + ",";
  }
  const auto added = [](const char* id, const char* content) {
    return std::string(R"({"special":true,"lstrip":false,"rstrip":false,"single_word":false,"normalized":false,"id":)") +
           id + R"(,"content":")" + content + R"("})";
  };
  return R"({"added_tokens":[)" + added("257", "<end>") + "," + added("258", "<turn>") +
         R"(],"normalizer":null,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,)"
         R"("use_regex":false},"post_processor":null,"decoder":{"type":"ByteLevel"},"model":{"type":"BPE","vocab":{)" +
         vocabulary + R"("ab":256},"merges":["a b"]}})";
}

class ServedFolder {
 public:
  ServedFolder() { write("config.json", config_json()); }
  std::string write(const std::string& name, std::string_view content) const { return folder_.write(name, content); }
  [[nodiscard]] const std::string& path() const { return folder_.path(); }

  [[nodiscard]] model::OpenedModel open() const {
    model::ModelFiles files;
    files.path = path();
    files.random_weights = true;  // there are none
    auto model = model::open_model(files);
    EXPECT_TRUE(model.has_value()) << model.error().message();
    return model.value();
  }

  // What was said lands in `notes` and `warnings`.
  Expected<ServedText> text(const std::string& tokenizer_path = "", const ChatSettings& chat = {}) {
    TextOptions options;
    options.tokenizer_path = tokenizer_path;
    options.chat = chat;
    options.note = [this](const std::string& line) { notes.push_back(line); };
    options.warn = [this](const std::string& line) { warnings.push_back(line); };
    return open_served_text(open(), options);
  }

  std::vector<std::string> notes;
  std::vector<std::string> warnings;

 private:
  model::testing::TempDirectory folder_;
};

}  // namespace herd::served::testing
