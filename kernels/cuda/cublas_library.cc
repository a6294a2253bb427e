#include "kernels/cuda/cublas_library.h"

#include <cublasLt.h>

#include <array>
#include <map>
#include <string>
#include <utility>

#include "kernels/cuda/cuda_memory.h"
#include "kernels/cuda/loaded_functions.h"

#define HERD_TEXT_OF(x) #x
#define HERD_TEXT(x) HERD_TEXT_OF(x)

namespace herd::cuda {
namespace {

constexpr const char* kLibrary = "libcublasLt.so." HERD_TEXT(CUBLAS_VER_MAJOR);
constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;  // what NVIDIA advises for Hopper

struct Functions {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtGetStatusString) get_status_string;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulDescCreate) desc_create;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
  decltype(&cublasLtMatmulAlgoGetHeuristic) get_heuristic;
};

Expected<Functions> load() {
  return load_functions<Functions>(
      kLibrary, "cublaslt cannot be loaded", (std::string(kLibrary) + " lacks a function").c_str(),
      NamedFunction{"cublasLtCreate", &Functions::create}, NamedFunction{"cublasLtDestroy", &Functions::destroy},
      NamedFunction{"cublasLtGetStatusString", &Functions::get_status_string},
      NamedFunction{"cublasLtMatmul", &Functions::matmul},
      NamedFunction{"cublasLtMatmulDescCreate", &Functions::desc_create},
      NamedFunction{"cublasLtMatmulDescDestroy", &Functions::desc_destroy},
      NamedFunction{"cublasLtMatmulDescSetAttribute", &Functions::desc_set},
      NamedFunction{"cublasLtMatrixLayoutCreate", &Functions::layout_create},
      NamedFunction{"cublasLtMatrixLayoutDestroy", &Functions::layout_destroy},
      NamedFunction{"cublasLtMatmulPreferenceCreate", &Functions::preference_create},
      NamedFunction{"cublasLtMatmulPreferenceDestroy", &Functions::preference_destroy},
      NamedFunction{"cublasLtMatmulPreferenceSetAttribute", &Functions::preference_set},
      NamedFunction{"cublasLtMatmulAlgoGetHeuristic", &Functions::get_heuristic});
}

// What the library wants to know of one shape. It counts columns first: out, read so, is [n, tokens].
struct Shape {
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t w = nullptr, x = nullptr, out = nullptr;
  cublasLtMatmulAlgo_t algorithm = {};
};

class Loaded final : public CublasLibrary {
 public:
  Loaded(const Functions& f, std::shared_ptr<Stream> stream) : f_(f), stream_(std::move(stream)) {}
  ~Loaded() override {
    for (auto& [key, shape] : shapes_) release(shape);
    if (handle_ != nullptr) (void)f_.destroy(handle_);
  }
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;

  Status open() {
    auto workspace = allocate_device(stream_, kWorkspaceBytes, "cublaslt's workspace");
    if (!workspace) return workspace.error();
    workspace_ = std::move(*workspace);
    return check(f_.create(&handle_), "cublasLtCreate") ? Status() : missing(stream_->status().message());
  }

  void multiply(const PlainProduct& p) override {
    const Shape* shape = shape_of(p);
    if (shape == nullptr || !stream_->ok()) return;
    const float one = 1.0F, zero = 0.0F;
    check(f_.matmul(handle_, shape->operation, &one, p.w, shape->w, p.x, shape->x, &zero, p.out, shape->out, p.out,
                    shape->out, &shape->algorithm, workspace_->data(), kWorkspaceBytes, stream_->handle()),
          "cublasLtMatmul");
  }

 private:
  using Key = std::array<std::int64_t, 7>;

  bool check(cublasStatus_t result, const char* call) {
    if (result == CUBLAS_STATUS_SUCCESS) return true;
    stream_->fail(std::string(call) + ": " + f_.get_status_string(result));
    return false;
  }

  void release(Shape& shape) {
    if (shape.operation != nullptr) (void)f_.desc_destroy(shape.operation);
    for (cublasLtMatrixLayout_t layout : {shape.w, shape.x, shape.out}) {
      if (layout != nullptr) (void)f_.layout_destroy(layout);
    }
  }

  // Null when the library has no kernel for it (the stream has the error).
  const Shape* shape_of(const PlainProduct& p) {
    const Key key = {p.tokens, p.n, p.k, p.x_stride, p.w_stride, p.out_stride, static_cast<std::int64_t>(p.out_dtype)};
    const auto at = shapes_.find(key);
    if (at != shapes_.end()) return &at->second;
    Shape& shape = shapes_[key];
    return describe(p, shape) && choose(shape) ? &shape : nullptr;
  }

  bool describe(const PlainProduct& p, Shape& shape) {
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const cudaDataType_t out = p.out_dtype == DType::kF32 ? CUDA_R_32F : CUDA_R_16BF;
    const auto tokens = static_cast<std::uint64_t>(p.tokens), n = static_cast<std::uint64_t>(p.n),
               k = static_cast<std::uint64_t>(p.k);
    return check(f_.desc_create(&shape.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate") &&
           check(f_.desc_set(shape.operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed),
                 "cublasLtMatmulDescSetAttribute") &&
           check(f_.layout_create(&shape.w, CUDA_R_16BF, k, n, p.w_stride), "cublasLtMatrixLayoutCreate") &&
           check(f_.layout_create(&shape.x, CUDA_R_16BF, k, tokens, p.x_stride), "cublasLtMatrixLayoutCreate") &&
           check(f_.layout_create(&shape.out, out, n, tokens, p.out_stride), "cublasLtMatrixLayoutCreate");
  }

  bool choose(Shape& shape) {
    cublasLtMatmulPreference_t preference = nullptr;
    if (!check(f_.preference_create(&preference), "cublasLtMatmulPreferenceCreate")) return false;
    const std::size_t workspace = kWorkspaceBytes;
    int found = 0;
    cublasLtMatmulHeuristicResult_t best = {};
    const bool asked =
        check(f_.preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace),
              "cublasLtMatmulPreferenceSetAttribute") &&
        check(f_.get_heuristic(handle_, shape.operation, shape.w, shape.x, shape.out, shape.out, preference, 1, &best,
                               &found),
              "cublasLtMatmulAlgoGetHeuristic");
    (void)f_.preference_destroy(preference);
    if (!asked) return false;
    if (found == 0) {
      stream_->fail("cublasLtMatmulAlgoGetHeuristic: no kernel for this shape");
      return false;
    }
    shape.algorithm = best.algo;
    return true;
  }

  const Functions f_;
  const std::shared_ptr<Stream> stream_;
  cublasLtHandle_t handle_ = nullptr;
  std::unique_ptr<DeviceBuffer> workspace_;
  std::map<Key, Shape> shapes_;
};

}  // namespace

Expected<std::unique_ptr<CublasLibrary>> make_cublas_library(std::shared_ptr<Stream> stream) {
  static const Expected<Functions> functions = load();
  if (!functions) return fail(functions.error());
  stream->use();
  auto library = std::make_unique<Loaded>(*functions, std::move(stream));
  if (Status status = library->open(); !status.ok()) return fail(std::move(status));
  return library;
}

}  // namespace herd::cuda
