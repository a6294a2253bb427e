// The reader of cluster files: what a right one says, and the words for everything that is wrong with one. A row changes one line of
// a file that is right.

#include "cluster/config/cluster_file.h"

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "cluster/config/setting_table.h"
#include "cluster/config/yaml_tree.h"

namespace herd::config {
namespace {

const std::vector<std::string> kRight = {
    "name: c",                        // 1
    "model:",                         // 2
    "  model_path: /m",               // 3
    "coordinators:",                  // 4
    "  - name: co",                   // 5
    "    address: 127.0.0.1:7100",    // 6
    "gateways:",                      // 7
    "  - name: gw",                   // 8
    "    port: 8000",                 // 9
    "nodes:",                         // 10
    "  - name: n0",                   // 11
    "    address: 127.0.0.1:7101",    // 12
    "    devices: [cpu, cpu]",        // 13
};

// The right file with `line` (from 1) in other words; line 14 is appended.
std::string with(std::size_t line, const std::string& text) {
  std::vector<std::string> lines = kRight;
  lines.resize(std::max(lines.size(), line));
  lines[line - 1] = text;
  std::string all;
  for (const std::string& each : lines) all += each + "\n";
  return all;
}

std::string problems_of(const std::string& text) {
  std::string all;
  for (const Problem& problem : parse_cluster_file(text).problems) {
    if (!all.empty()) all += '\n';
    all += problem_text("f", problem);
  }
  return all;
}

ClusterSpec spec_of(const std::string& text) {
  const ClusterFile file = parse_cluster_file(text);
  EXPECT_TRUE(file.problems.empty()) << problems_of(text);
  return file.spec;
}

struct Row {
  std::size_t line;
  std::string text;
  std::string problem;
};

void expect_refused(const std::vector<Row>& rows) {
  for (const Row& row : rows) EXPECT_EQ(problems_of(with(row.line, row.text)), row.problem) << row.text;
}

TEST(ClusterFile, ARightFileIsTakenAsItIsWritten) {
  const ClusterSpec spec = spec_of(with(1, "name: c"));
  EXPECT_EQ(spec.name, "c");
  EXPECT_EQ(spec.model.model_path, "/m");
  ASSERT_EQ(spec.coordinators.size(), 1U);
  EXPECT_EQ(spec.coordinators[0].address, "127.0.0.1:7100");
  ASSERT_EQ(spec.gateways.size(), 1U);
  EXPECT_EQ(spec.gateways[0].host, "127.0.0.1");
  EXPECT_EQ(spec.gateways[0].port, 8000);
  ASSERT_EQ(spec.nodes.size(), 1U);
  EXPECT_EQ(spec.nodes[0].devices, (std::vector<std::string>{"cpu", "cpu"}));
  EXPECT_EQ(spec.limits, LimitsSpec{});
}

TEST(ClusterFile, SizesTimesNumbersAndSwitchesAreReadWithTheirUnits) {
  const ClusterSpec spec = spec_of(with(14,
                                        "kv: {kv_cache_memory: 4GiB, block_size: 64, enable_prefix_caching: false}\n"
                                        "limits: {request_timeout: 1.5m, max_request_timeout: 2h, max_body_bytes: 1MB}\n"
                                        "http: {keep_alive_interval: 250ms, shutdown_timeout: 0s, allowed_origins: ['*', \"a\"]}\n"
                                        "compute: {gpu_memory_utilization: 0.5}\n"
                                        "tls: {ca_file: ca, cert_file: '{name}.pem', key_file: '{name}.key'}"));
  EXPECT_EQ(spec.kv.kv_cache_memory, std::int64_t{4} << 30);
  EXPECT_EQ(spec.kv.block_size, 64);
  EXPECT_FALSE(spec.kv.enable_prefix_caching);
  EXPECT_EQ(spec.limits.request_timeout, 90.0);
  EXPECT_EQ(spec.limits.max_request_timeout, 7200.0);
  EXPECT_EQ(spec.limits.max_body_bytes, 1'000'000);
  EXPECT_EQ(spec.http.keep_alive_interval, 0.25);
  EXPECT_EQ(spec.http.shutdown_timeout, 0.0);
  EXPECT_EQ(spec.http.allowed_origins, (std::vector<std::string>{"*", "a"}));
  EXPECT_EQ(spec.compute.gpu_memory_utilization, 0.5);
  EXPECT_EQ(spec.tls.cert_file, "{name}.pem");
}

TEST(ClusterFile, AStepsBoundIsANumberOrAuto) {
  EXPECT_EQ(spec_of(with(14, "scheduler: {max_step_ms: auto}")).scheduler.max_step_ms, "auto");
  EXPECT_EQ(spec_of(with(14, "scheduler: {max_step_ms: 20}")).scheduler.max_step_ms, "20");
}

TEST(ClusterFile, NodesMayJoinUnlistedWhenTheyAreKnownByCertificates) {
  std::string text;
  for (std::size_t i = 0; i < 9; ++i) text += kRight[i] + "\n";
  text += "nodes: any-with-certificate\n";
  EXPECT_EQ(problems_of(text), "f:10:nodes: any-with-certificate needs the section tls, by which nodes are known");
  const ClusterSpec spec = spec_of(text + "tls: {ca_file: a, cert_file: b, key_file: c}\n");
  EXPECT_TRUE(spec.any_node_with_certificate);
  EXPECT_TRUE(spec.nodes.empty());
}

TEST(ClusterFile, AByteOrderMarkAndWindowsLineEndsAreNoMistakes) {
  std::string windows = "\xEF\xBB\xBF";
  for (const std::string& line : kRight) windows += line + "\r\n";
  EXPECT_EQ(spec_of(windows), spec_of(with(1, kRight[0])));
}

TEST(ClusterFile, TheShippedExamplesAreRight) {
  for (const char* path : {"config/cluster/one_host.yaml", "config/cluster/three_nodes.yaml"}) {
    std::ifstream file(path);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    ASSERT_FALSE(text.empty()) << path;
    EXPECT_EQ(problems_of(text), "") << path;
  }
}

TEST(ClusterFile, KeysThatAreNotKnownAreNamedWithTheNearestOrTheirPlace) {
  expect_refused({
      {3, "  model_paht: /m", "f:3:model.model_paht: is not known; model_path is meant?\n"
                              "f:3:model.model_path: is missing: Hugging Face directory or .gguf file; a node may say another place; a "
                              "relative path begins at this file"},
      {14, "limts: {request_timeout: 1s}", "f:14:limts: is not known; limits is meant?"},
      {14, "scheduler: {max-num-seqs: 8}", "f:14:scheduler.max-num-seqs: is not known; max_num_seqs is meant?"},
      {14, "kv: {max_num_seqs: 8}", "f:14:kv.max_num_seqs: does not belong here; it is scheduler.max_num_seqs"},
      {14, "port: 8000", "f:14:port: does not belong here; it is gateways[].port"},
      {14, "kv: {colour: red}",
       "f:14:kv.colour: is not known; known here are block_size, num_blocks, kv_cache_memory, "
       "enable_prefix_caching, enable_kv_moves"},
      {14, "    labels: {Rack: r}", "f:14:nodes[0].labels: has the label \"Rack\"; a label's name is of a-z, 0-9, ., _, / and - with at "
                                    "most 63 characters"},
      {9, "    <<: {port: 1}", "f:9:gateways[0].<<: merge keys (<<) are not taken; write the values out"},
  });
}

TEST(ClusterFile, ValuesOfAnotherTypeAreNamed) {
  expect_refused({
      {1, "name: [c]", "f:1:name: must be a text, not a list"},
      {1, "name: 7", "f:1:name: is a number for readers of YAML; write '7' in quotes if the text is meant"},
      {1, "name: no", "f:1:name: is true or false for readers of YAML; write 'no' in quotes if the text is meant"},
      {1, "name: ~", "f:1:name: has no value; give it one or remove the key"},
      {1, "name:", "f:1:name: has no value; give it one or remove the key"},
      {1, "name: ''", "f:1:name: is empty; give it a value or remove the key"},
      {1, "name: Node_A", "f:1:name: must be a name of a-z, 0-9, - and . with at most 63 characters, such as node-a, not \"Node_A\""},
      {3, "  model_path: 2024-07-26", "f:3:model.model_path: is a date for readers of YAML; write '2024-07-26' in quotes if the text is meant"},
      {3, "  model_path: 1:30", "f:3:model.model_path: is a number in base 60 for readers of YAML; write '1:30' in quotes if the text is meant"},
      {3, "  model_path: \"a\\x07b\"", "f:3:model.model_path: holds control characters"},
      {3, "  - model_path", "f:3:model: must be a map of keys, not a list"},
      {14, "model_x: 1\nkv: 5", "f:14:model_x: is not known; known here are name, model, parallelism, compute, scheduler, kv, http, limits, "
                               "supervision, metrics, logs, tls, coordinators, gateways, nodes\nf:15:kv: must be a map of keys, not \"5\""},
      {14, "kv:", "f:14:kv: has no keys; give it one or remove it"},
      {14, "kv: {}", "f:14:kv: has no keys; give it one or remove it"},
      {9, "    port: '8000'", "f:9:gateways[0].port: is a number in quotes, which is a text; write 8000"},
      {9, "    port: 8e3", "f:9:gateways[0].port: must be a whole number in [1, 65535], not \"8e3\""},
      {9, "    port: {a: b}", "f:9:gateways[0].port: must be a whole number in [1, 65535], not a map"},
      {13, "    devices: cpu", "f:13:nodes[0].devices: must be a list, such as [cpu], not \"cpu\""},
      {13, "    devices: []", "f:13:nodes[0].devices: is an empty list; give it an entry or remove the key"},
      {13, "    devices: [cpu, 3]", "f:13:nodes[0].devices[1]: is a number for readers of YAML; write '3' in quotes if the text is meant"},
      {13, "    devices: [gpu]", "f:13:nodes[0].devices[0]: must say which GPU: gpu-0, gpu-1, …"},
      {13, "    devices: [gpu-01]", "f:13:nodes[0].devices[0]: must be cpu or a GPU such as gpu-0, not \"gpu-01\""},
      {13, "    devices: [gpu--1]", "f:13:nodes[0].devices[0]: must be cpu or a GPU such as gpu-0, not \"gpu--1\""},
      {14, "    labels: [a]", "f:14:nodes[0].labels: must be a map, such as {rack: r1}, not a list"},
      {14, "nodes2: 1", "f:14:nodes2: is not known; nodes is meant?"},
      {7, "gateways: {}\nx:", "f:7:gateways: must be a list, one entry (- name: …) a gateway, not a map\nf:8:x: is not known; known here "
                              "are name, model, parallelism, compute, scheduler, kv, http, limits, supervision, metrics, logs, tls, "
                              "coordinators, gateways, nodes"},
  });
}

TEST(ClusterFile, NumbersAreTakenAsTheyAreWrittenOrRefused) {
  expect_refused({
      {9, "    port: 08000", "f:9:gateways[0].port: is octal for some readers of YAML (\"08000\"); write 8000 without the leading zero"},
      {9, "    port: 0x1F40", "f:9:gateways[0].port: is in another base (\"0x1F40\"); write it in decimal"},
      {9, "    port: 8_000", "f:9:gateways[0].port: has underscores (\"8_000\"), which only some readers of YAML take; write the digits alone"},
      {9, "    port: +8000", "f:9:gateways[0].port: has a plus sign (\"+8000\"); write 8000"},
      {9, "    port: 65536", "f:9:gateways[0].port: must be a whole number in [1, 65535], not \"65536\""},
      {9, "    port: -1", "f:9:gateways[0].port: must be a whole number in [1, 65535], not \"-1\""},
      {9, "    port: 99999999999999999999", "f:9:gateways[0].port: must be a whole number in [1, 65535], not \"99999999999999999999\""},
      {14, "parallelism: {tensor_parallel_size: 3}", "f:14:parallelism.tensor_parallel_size: must be 1, 2, 4 or 8, not \"3\""},
      {14, "parallelism: {pipeline_parallel_size: 2}", "f:14:parallelism.pipeline_parallel_size: must be 1, not \"2\""},
      {14, "compute: {gpu_memory_utilization: 1.5}",
       "f:14:compute.gpu_memory_utilization: must be a number above 0 and at most 1, not \"1.5\""},
      {14, "compute: {gpu_memory_utilization: .5}",
       "f:14:compute.gpu_memory_utilization: must be a number above 0 and at most 1, not \".5\""},
      {14, "compute: {gpu_memory_utilization: .nan}",
       "f:14:compute.gpu_memory_utilization: must be a number above 0 and at most 1, not \".nan\""},
      {14, "scheduler: {max_step_ms: fast}",
       "f:14:scheduler.max_step_ms: must be auto or a whole number in [0, 600000], not \"fast\""},
      {14, "scheduler: {max_step_ms: -0}",
       "f:14:scheduler.max_step_ms: must be auto or a whole number in [0, 600000], not \"-0\""},
      {14, "scheduler: {max_step_ms: 600001}",
       "f:14:scheduler.max_step_ms: must be auto or a whole number in [0, 600000], not \"600001\""},
      {14, "scheduler: {max_step_ms: '20'}", "f:14:scheduler.max_step_ms: is a number in quotes, which is a text; write 20"},
      {14, "scheduler: {max_step_ms: 020}",
       "f:14:scheduler.max_step_ms: is octal for some readers of YAML (\"020\"); write 20 without the leading zero"},
      {14, "http: {strict_fields: yes}", "f:14:http.strict_fields: must be true or false, not \"yes\"; write true"},
      {14, "http: {strict_fields: 'false'}", "f:14:http.strict_fields: must be true or false, not \"false\"; write false without quotes"},
      {14, "compute: {cpu_isa: avx-512}",
       "f:14:compute.cpu_isa: must be auto, reference, avx2, avx512, avx512-vnni or avx512-bf16, not \"avx-512\"; avx512 is meant?"},
  });
}

TEST(ClusterFile, SizesAndTimesNeedTheirUnit) {
  expect_refused({
      {14, "kv: {kv_cache_memory: 4096}",
       "f:14:kv.kv_cache_memory: has no unit; write 4096B, or a size such as 64GiB or 512MB"},
      {14, "kv: {kv_cache_memory: 4 gib}",
       "f:14:kv.kv_cache_memory: must be a size with its unit, such as 64GiB or 512MB, not \"4 gib\"; 4GiB is meant?"},
      {14, "kv: {kv_cache_memory: 4s}",
       "f:14:kv.kv_cache_memory: must be a size with its unit, such as 64GiB or 512MB, not \"4s\""},
      {14, "kv: {kv_cache_memory: 1.5GiB}",
       "f:14:kv.kv_cache_memory: must be a size with its unit, such as 64GiB or 512MB, not \"1.5GiB\""},
      {14, "kv: {kv_cache_memory: 0GiB}", "f:14:kv.kv_cache_memory: must be in [1B, 1024TiB], not \"0GiB\""},
      {14, "kv: {kv_cache_memory: 9999999TiB}", "f:14:kv.kv_cache_memory: must be in [1B, 1024TiB], not \"9999999TiB\""},
      {14, "limits: {max_body_bytes: 1GiB}", "f:14:limits.max_body_bytes: must be in [1KiB, 32MiB], not \"1GiB\""},
      {14, "limits: {request_timeout: 600}", "f:14:limits.request_timeout: has no unit; write 600s if seconds are meant"},
      {14, "limits: {request_timeout: 5min}",
       "f:14:limits.request_timeout: must be a time with its unit (ms, s, m or h), such as 30s, not \"5min\""},
      {14, "limits: {request_timeout: -5s}",
       "f:14:limits.request_timeout: must be a time with its unit (ms, s, m or h), such as 30s, not \"-5s\""},
      {14, "limits: {request_timeout: 0s}", "f:14:limits.request_timeout: must be in [1ms, 86400s], not \"0s\""},
      {14, "limits: {request_timeout: [1s]}",
       "f:14:limits.request_timeout: must be a time with its unit (ms, s, m or h), such as 30s, not a list"},
  });
}

TEST(ClusterFile, AddressesAreOnesThatOthersCanDial) {
  const std::string example = "must be HOST:PORT, such as node-a.example:7100 or [fd00::1]:7100, not ";
  const std::string no_host = ", which is neither an IP address in full nor a DNS name";
  expect_refused({
      {6, "    address: localhost", "f:6:coordinators[0].address: " + example + "\"localhost\""},
      {6, "    address: a b:1", "f:6:coordinators[0].address: " + example + "\"a b:1\""},
      {6, "    address: fd00::1:7100", "f:6:coordinators[0].address: " + example + "\"fd00::1:7100\""},
      {6, "    address: localhost:07100", "f:6:coordinators[0].address: " + example + "\"localhost:07100\""},
      {6, "    address: localhost:70000", "f:6:coordinators[0].address: has the port 70000; ports are in [1, 65535]"},
      {6, "    address: 0.0.0.0:7100", "f:6:coordinators[0].address: is dialled by the other processes, which cannot dial 0.0.0.0; give "
                                       "the machine's own address or DNS name"},
      {6, "    address: '[::]:7100'", "f:6:coordinators[0].address: is dialled by the other processes, which cannot dial [::]; give "
                                      "the machine's own address or DNS name"},
      {6, "    address: '[::0]:7100'", "f:6:coordinators[0].address: is dialled by the other processes, which cannot dial [::0]; give "
                                       "the machine's own address or DNS name"},
      {6, "    address: '[::ffff:0.0.0.0]:7100'", "f:6:coordinators[0].address: is dialled by the other processes, which cannot dial "
                                                  "[::ffff:0.0.0.0]; give the machine's own address or DNS name"},
      {6, "    address: 0:7100", "f:6:coordinators[0].address: has the host \"0\"" + no_host},
      {6, "    address: 127.1:7100", "f:6:coordinators[0].address: has the host \"127.1\"" + no_host},
      {6, "    address: a.0x7f:7100", "f:6:coordinators[0].address: has the host \"a.0x7f\"" + no_host},
      {6, "    address: a..b:7100", "f:6:coordinators[0].address: has the host \"a..b\"" + no_host},
      {6, "    address: a-.b:7100", "f:6:coordinators[0].address: has the host \"a-.b\"" + no_host},
      {6, "    address: '[::1::]:7100'", "f:6:coordinators[0].address: has the host \"[::1::]\"" + no_host},
      {6, "    address: '[abc]:7100'", "f:6:coordinators[0].address: has the host \"[abc]\"" + no_host},
      {12, "    address: 10.0.0.2:7101", "f:12:nodes[0].address: 10.0.0.2:7101 is not a loopback address, and between machines the "
                                         "processes talk over TLS only; add the section tls"},
      {12, "    address: 127.0.0.1:7100", "f:12:nodes[0].address: 127.0.0.1:7100 is taken by coordinators[0].address; give one of them "
                                          "another port"},
      {9, "    port: 7101", "f:9:gateways[0].port: 127.0.0.1:7101 is taken by nodes[0].address; give one of them another port"},
  });
}

TEST(ClusterFile, AddressesOfOneMachineAreKnownInEveryForm) {
  for (const char* host : {"localhost", "LocalHost", "127.8.9.1", "'[::1]", "'[0:0:0:0:0:0:0:1]", "'[::ffff:127.0.0.1]"}) {
    const std::string text = std::string("    address: ") + host + ":7101" + (*host == '\'' ? "'" : "");
    EXPECT_EQ(problems_of(with(12, text)), "") << "loopback needs no TLS: " << text;
  }
}

TEST(ClusterFile, HostsThatAreListenedOnAreAddressesOrNames) {
  const std::string right = "must be an IP address in full, such as 0.0.0.0 or ::1, or a DNS name, not ";
  for (const char* host : {"0.0.0.0", "'::'", "'::1'", "10.1.2.3", "node-a.example", "Node_A.example."})
    EXPECT_EQ(problems_of(with(9, std::string("    host: ") + host)), "") << host;
  expect_refused({
      {9, "    host: not a host !", "f:9:gateways[0].host: " + right + "\"not a host !\""},
      {9, "    host: '[::1]'", "f:9:gateways[0].host: " + right + "\"[::1]\""},
      {9, "    host: 10.0.0", "f:9:gateways[0].host: " + right + "\"10.0.0\""},
      {9, "    host: 10.0.0.256", "f:9:gateways[0].host: " + right + "\"10.0.0.256\""},
      {14, "metrics: {metrics_host: '*'}", "f:14:metrics.metrics_host: " + right + "\"*\""},
  });
}

TEST(ClusterFile, UrlsAreOfHttp) {
  const auto metrics = [](const std::string& url) { return "metrics: {otlp_traces_endpoint: '" + url + "'}"; };
  for (const char* url : {"http://a", "http://a:4318", "http://127.0.0.1:4318/v1/traces", "http://[::1]:4318/", "http://[::1]", "http://a?b=c"})
    EXPECT_EQ(problems_of(with(14, metrics(url))), "") << url;
  for (const char* url : {"https://a", "a:4318", "http://", "http://:4318", "http://a:", "http://a:0", "http://a:x", "http://a:123456", "http://u@a",
                          "http://a/#b", "http://a/b c", "http://[::1", "http://[::1]x", "http://a:1:2"})
    EXPECT_EQ(problems_of(with(14, metrics(url))), "f:14:metrics.otlp_traces_endpoint: must be such as http://127.0.0.1:4318/v1/traces, not \"" +
                                                       std::string(url) + "\"") << url;
  expect_refused({{14, metrics("http://a:65536"), "f:14:metrics.otlp_traces_endpoint: has the port 65536; ports are in [1, 65535]"}});
}

TEST(ClusterFile, APortOfAMachineIsListenedOnOnce) {
  const std::string other = "; give one of them another port";
  expect_refused({
      {9, "    port: 7101\n    host: 0.0.0.0", "f:9:gateways[0].port: 0.0.0.0:7101 is taken by nodes[0].address" + other},
      {9, "    port: 7101\n    host: '::0'", "f:9:gateways[0].port: [::0]:7101 is taken by nodes[0].address" + other},
      {9, "    port: 7101\n    host: localhost", "f:9:gateways[0].port: localhost:7101 is taken by nodes[0].address" + other},
      {9, "    host: 0.0.0.0\n    port: 8000\n  - {name: g2, port: 8000}",
       "f:11:gateways[1].port: 127.0.0.1:8000 is taken by gateways[0].port" + other},
      {9, "    port: 7101\n    host: 0.0.0.0\n    node: n0", "f:9:gateways[0].port: 0.0.0.0:7101 is taken by nodes[0].address" + other},
  });
  // Metrics ports are of metrics_host.
  const std::string metrics = "    metrics_port: 9000\nmetrics: {metrics_host: 127.0.0.2}\n";
  EXPECT_EQ(problems_of(with(9, "    port: 9000") + metrics), "");
  EXPECT_EQ(problems_of(with(9, "    port: 9000\n    host: 127.0.0.2") + metrics),
            "f:9:gateways[0].port: 127.0.0.2:9000 is taken by nodes[0].metrics_port" + other);
}

// A node of several replicas listens at a port for each of them.
TEST(ClusterFile, PortsOfANodesReplicasAreListenedOnOnce) {
  const std::string two = "parallelism: {data_parallel_size: 2}\n";
  const std::string next = "\n  - {name: n1, address: 127.0.0.1:7102, devices: [cpu]}";
  const std::string devices = "    devices: [cpu, cpu]";
  EXPECT_EQ(problems_of(with(13, devices + next) + two),
            "f:12:nodes[0].address: its 2 replicas take gateways at ports 7101 to 7102, and 7102 is taken by nodes[1].address; give one "
            "of them another port");
  EXPECT_EQ(problems_of(with(9, "    port: 7102") + two),
            "f:9:gateways[0].port: 127.0.0.1:7102 is taken by nodes[0].address; give one of them another port");
  EXPECT_EQ(problems_of(with(12, "    address: 127.0.0.1:65535") + two),
            "f:12:nodes[0].address: its 2 replicas take gateways at ports 65535 to 65536, and there is none beyond 65535; give it a "
            "lower port");
  EXPECT_EQ(problems_of(with(13, devices + next)), "") << "one replica in all";
  EXPECT_EQ(problems_of(with(13, devices + next) + "parallelism: {data_parallel_size: 2, tensor_parallel_size: 2}\n"), "")
      << "room for one replica";
}

TEST(ClusterFile, NodesOfOneMachineShareOutItsDevices) {
  expect_refused({
      {13, "    devices: [gpu-0]\n  - {name: n1, address: localhost:7102, devices: [gpu-1, gpu-0]}",
       "f:14:nodes[1].devices: names gpu-0, and so does nodes[0].devices on the same machine (localhost); give it to one of them"},
      {14, "    cpu_set: 0-3\n  - {name: n1, address: 127.0.0.1:7102, devices: [cpu], cpu_set: '6,3-5'}",
       "f:15:nodes[1].cpu_set: names CPU 3, and so does nodes[0].cpu_set on the same machine (localhost); give it to one of them"},
  });
  EXPECT_EQ(problems_of(with(14, "    cpu_set: 0-3\n  - {name: n1, address: 127.0.0.1:7102, devices: [cpu], cpu_set: 4-5}")), "");
  const std::string tls = "tls: {ca_file: a, cert_file: b, key_file: c}\n";
  EXPECT_EQ(problems_of(with(13, "    devices: [gpu-0]\n  - {name: n1, address: b.example:7102, devices: [gpu-0]}") + tls), "");
  EXPECT_EQ(problems_of(with(13, "    devices: [cpu]\n  - {name: n1, address: b.example:7102, devices: [gpu-0]}\n"
                                 "  - {name: n2, address: B.example:7103, devices: [gpu-0]}") + tls),
            "f:15:nodes[2].devices: names gpu-0, and so does nodes[1].devices on the same machine (b.example); give it to one of them");
}

TEST(ClusterFile, CertificatesFoundByNameNeedNamesOfOneProcess) {
  const std::string shared = with(8, "  - name: co");
  EXPECT_EQ(problems_of(shared), "");
  EXPECT_EQ(problems_of(shared + "tls: {ca_file: a, cert_file: b, key_file: c}\n"), "");
  EXPECT_EQ(problems_of(shared + "tls: {ca_file: a, cert_file: '{name}.pem', key_file: '{name}.key'}\n"),
            "f:8:gateways[0].name: co is the name of coordinators[0] already; {name} in tls.cert_file would give both one certificate, "
            "and it is of one role");
}

TEST(ClusterFile, EveryRelativePathBeginsAtTheFile) {
  ClusterSpec spec = spec_of(with(14,
                                  "    model_path: own\n"
                                  "http: {ssl_certfile: c.pem, ssl_keyfile: ../k.pem, api_key_file: keys, resume_key_file: /r}\n"
                                  "tls: {ca_file: ca, cert_file: 'x/{name}.pem', key_file: './{name}.key'}"));
  spec.model.weight_path = "w";
  spec.model.tokenizer_path = "t";
  begin_paths_at("/etc/herd", spec);
  EXPECT_EQ(spec.model.model_path, "/m");
  EXPECT_EQ(spec.model.weight_path, "/etc/herd/w");
  EXPECT_EQ(spec.model.tokenizer_path, "/etc/herd/t");
  EXPECT_EQ(spec.nodes[0].model_path, "/etc/herd/own");
  EXPECT_EQ(spec.http.ssl_certfile, "/etc/herd/c.pem");
  EXPECT_EQ(spec.http.ssl_keyfile, "/etc/k.pem");
  EXPECT_EQ(spec.http.api_key_file, "/etc/herd/keys");
  EXPECT_EQ(spec.http.resume_key_file, "/r");
  EXPECT_EQ(spec.tls.ca_file, "/etc/herd/ca");
  EXPECT_EQ(spec.tls.cert_file, "/etc/herd/x/{name}.pem");
  EXPECT_EQ(spec.tls.key_file, "/etc/herd/{name}.key");
  ClusterSpec nothing;
  begin_paths_at("/etc/herd", nothing);
  EXPECT_EQ(nothing, ClusterSpec{}) << "what is not given stays so";
}

TEST(ClusterFile, FilesThatSayTheSameHaveOneDigestWhereverTheyLie) {
  const std::string digest = settings_digest(spec_of(with(14, "")));
  EXPECT_EQ(digest.size(), 32U);
  EXPECT_EQ(settings_digest(spec_of(with(14, "kv: {block_size: " + std::to_string(ClusterSpec{}.kv.block_size) + "}"))), digest);
  EXPECT_EQ(settings_digest(spec_of(with(3, "  model_path: /elsewhere/m"))), digest);
  EXPECT_NE(settings_digest(spec_of(with(1, "name: d"))), digest);
  EXPECT_NE(settings_digest(spec_of(with(14, "scheduler: {max_num_seqs: 5}"))), digest);
}

TEST(ClusterFile, ContradictionsAreNamed) {
  expect_refused({
      {14, "limits: {request_timeout: 2h}", "f:14:limits.request_timeout: request_timeout 7200s is more than max_request_timeout 3600s; "
                                            "raise max_request_timeout"},
      {14, "kv: {num_blocks: 8, kv_cache_memory: 1MiB}", "f:14:kv.kv_cache_memory: and num_blocks both size the KV cache; keep one of them"},
      {14, "http: {ssl_certfile: c.pem}", "f:14:http.ssl_certfile: needs ssl_keyfile beside it"},
      {3, "  {model_path: /m, random_weights_seed: 3}",
       "f:3:model.random_weights_seed: counts only with load_format: random; add that or remove the seed"},
      {6, "    address: 127.0.0.1:7100\n  - {name: standby, address: 127.0.0.1:7200}",
       "f:7:coordinators[1]: is a second coordinator; this version uses one, and a standby that does nothing would only look safe. Keep "
       "one entry"},
      {14, "  - {name: n0, address: 127.0.0.1:7102, devices: [cpu]}",
       "f:14:nodes[1].name: n0 is the name of nodes[0] already; names are unique"},
      {13, "    devices: [cpu, gpu-0]",
       "f:13:nodes[0].devices: cpu and GPUs cannot be mixed on one node: their bits differ; make two nodes of the machine"},
      {13, "    devices: [gpu-1, gpu-1]", "f:13:nodes[0].devices: names gpu-1 twice"},
      {14, "    cpus: 4\n    cpu_set: 0-1", "f:14:nodes[0].cpus: is 4, and cpu_set names 2; keep one of them"},
      {14, "    cpus: 1", "f:14:nodes[0].cpus: 1 CPU for 2 ranks on cpu; each needs one of its own: take cpu out of devices, or give more "
                          "CPUs"},
      {14, "    cpu_set: 0-3,3", "f:14:nodes[0].cpu_set: must be CPUs below 4096, each once, such as 0-7,16-23, not \"0-3,3\""},
      {14, "    threads: 1", "f:14:nodes[0].threads: is 1 for 2 ranks on cpu; each computes on one at least"},
      {14, "    cpus: 2\n    threads: 3", "f:15:nodes[0].threads: is 3, and the node has 2 CPUs; more threads than CPUs only wait for each "
                                          "other"},
      {13, "    devices: [gpu-0]\n    threads: 2", "f:14:nodes[0].threads: counts threads of CPU ranks, and this node has GPUs; remove it"},
      {9, "    node: n1", "f:9:gateways[0].node: n1 is no name of a node; n0 is meant?"},
      {14, "tls: {ca_file: ca, cert_file: '{name}.pem', key_file: key}",
       "f:14:tls.key_file: and cert_file must both hold {name}, or neither: a key belongs to one certificate"},
      {14, "tls: {ca_file: ca, cert_file: c}", "f:14:tls.key_file: is missing: PEM; {name} in it stands for the process's name; a relative path "
                                              "begins at this file"},
  });
}

TEST(ClusterFile, WhatMakesYamlSurprisingIsRefused) {
  expect_refused({
      {14, "name: d", "f:14:name: is there already, in line 1; keep one of the two"},
      {9, "    name: gw2", "f:9:gateways[0].name: is there already, in line 8; keep one of the two"},
      {3, "  model_path: &m /m", "f:3:model.model_path: anchors (&name) are not taken; write the value out where it is needed"},
      {3, "  model_path: &m /m\n  tokenizer_path: *m",
       "f:3:model.model_path: anchors (&name) are not taken; write the value out where it is needed\n"
       "f:4:model.tokenizer_path: aliases (*name) are not taken; write the value out"},
      {3, "  model_path: !!str /m", "f:3:model.model_path: tags (!name, !!type) are not taken; the key says what the value is"},
      {1, "%YAML 1.1\n---\nname: c", "f:1: directives (% at the beginning of a line) are not taken; remove the line"},
      {14, "---\nname: d", "f:14: a second document begins here; one file is one cluster"},
      {3, "\tmodel_path: /m", "f:3: a tab indents the line; indent with spaces"},
      {3, "  \tmodel_path: /m", "f:3: a tab indents the line; indent with spaces"},
      {3, "\xC2\xA0 model_path: /m", "f:3: a no-break space (U+00A0) indents the line; indent with spaces"},
      {3, std::string("  model_path: /m\0n", 18), "f:3: holds a NUL byte; a cluster file is UTF-8 text"},
      {3, "  model_path: /\xFFm", "f:3: is not valid UTF-8; save the file as UTF-8"},
      {3, "  model_path: /m\x01", "f:3: holds the character U+0001, which is no text; remove it"},
      {3, "  model_path: /m # \xE2\x80\xA8", "f:3: holds the character U+2028, which is no text; remove it"},
      {3, "  model_path: /m\rx: y", "f:3: a carriage return within the line; lines end with a line feed"},
      {3, "  model_path: \"\\\xD9\x9E\"", "f:3:model.model_path: is not YAML: unknown escape character: \xEF\xBF\xBD; look at indentation, colons, "
                                           "quotes and brackets here and just before"},
      {14, "\"a\\x1b[31m\": b", "f:14:a?[31m: is not known; known here are name, model, parallelism, compute, scheduler, kv, http, "
                                  "limits, supervision, metrics, logs, tls, coordinators, gateways, nodes"},
      {14, "? [a]\n: b", "f:14:?: a key must be a text, not a list, a map or nothing"},
      {14, "a: [[[[[[[[[x]]]]]]]]]", "f:14:a[0][0][0][0][0][0][0]: lists and maps within each other, more than 8 deep"},
      {14, "x: " + std::string(5000, 'y'), "f:14:x: a text of 5000 bytes; at most 4096 are read"},
      {3, "  model_path: " + std::string(1025, 'y'), "f:3:model.model_path: has 1025 bytes; at most 1024 are taken"},
      {14, " x: y", "f:14: is not YAML: end of map not found; look at indentation, colons, quotes and brackets here and just before"},
  });
  EXPECT_EQ(problems_of("\nname: c\nmodel: {model_path: m}"),
            "f:2:coordinators: is missing: The coordinator: membership, placement, epochs. One for now.\n"
            "f:2:gateways: is missing: Where clients connect: each serves the whole OpenAI API.\n"
            "f:2:nodes: is missing: The machines that compute; or any-with-certificate: every node that the cluster's CA vouches for may "
            "join.");
  EXPECT_EQ(problems_of("- a"), "f:1: must be a map of keys, not a list");
  EXPECT_EQ(problems_of(""), "f: is empty; a cluster has a name, a model, a coordinator, gateways and nodes");
  EXPECT_EQ(problems_of(std::string(kFileBytesMax + 1, '#')), "f: is 1048577 bytes; a cluster file has at most 1048576");
}

TEST(ClusterFile, EveryProblemOfAFileIsToldInTheOrderOfItsLines) {
  EXPECT_EQ(problems_of(with(9, "    port: 0") + "kv: {block_size: 17}\nhttp: {http_threads: 99}\n"),
            "f:9:gateways[0].port: must be a whole number in [1, 65535], not \"0\"\n"
            "f:14:kv.block_size: must be 16, 32, 64, 128, 256 or 512, not \"17\"\n"
            "f:15:http.http_threads: must be a whole number in [1, 64], not \"99\"");
}

TEST(ClusterFile, ProblemsAreBoundedAndSaySo) {
  std::string text = with(1, "name: c");
  for (int i = 0; i < 1000; ++i) text += "unknown-" + std::to_string(i) + ": 1\n";
  const auto problems = parse_cluster_file(text).problems;
  ASSERT_EQ(problems.size(), ProblemList::kMax + 1);
  EXPECT_EQ(problems.back().what, "there are more problems than these 50");
}

// A billion laughs, and texts that are large in other ways: each ends at a bound, told in one line.
TEST(ClusterFile, WhatGrowsIsStopped) {
  std::string laughs = "a: &a [x, x]\n";
  for (char letter = 'b'; letter < 'z'; ++letter)
    laughs += std::string(1, letter) + ": &" + letter + " [*" + static_cast<char>(letter - 1) + ", *" + static_cast<char>(letter - 1) + "]\n";
  EXPECT_LE(parse_cluster_file(laughs).problems.size(), ProblemList::kMax + 1);
  EXPECT_NE(problems_of(laughs).find("aliases (*name) are not taken"), std::string::npos);
  std::string many = "a: [";
  for (int i = 0; i < 30'000; ++i) many += "x, ";
  EXPECT_EQ(problems_of(many + "x]"), "f:1: more than 20000 keys and values; no cluster needs so many");
  EXPECT_FALSE(problems_of(std::string(500'000, '[')).empty());
  EXPECT_FALSE(problems_of(std::string(500'000, '{')).empty());
  std::string steps;
  for (int i = 0; i < 500; ++i) steps += std::string(static_cast<std::size_t>(i), ' ') + "a:\n";
  EXPECT_FALSE(problems_of(steps).empty());
}

}  // namespace
}  // namespace herd::config
