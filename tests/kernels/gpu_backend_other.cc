// A library with the names of the CUDA backend and the id of another build.
namespace herd {
class GpuBackend;
}
extern "C" const char* herd_gpu_build_id() { return "another-build"; }
extern "C" herd::GpuBackend* herd_gpu_backend() { return nullptr; }
