#!/usr/bin/env python3
"""tools/cuda_report.py sees what the compiler did: planted spills, arrays in local memory and products that missed the
tensor cores are found, sound kernels are not blamed. Compiles small kernels with nvcc; needs no GPU. Standard library.

    cuda_report_test.py        (with the wheels of tests/requirements.txt, or a CUDA toolkit with cuobjdump and nvdisasm)
"""
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "tools/cuda_report.py"
sys.path.insert(0, str(ROOT / "tools"))

import cuda_report  # noqa: E402

MMA = r"""
  unsigned a = threadIdx.x;
  float c[4] = {};
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %4, %4, %4}, {%4, %4}, "
               "{%0, %1, %2, %3};" : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a));
  out[threadIdx.x] = c[0] + c[1] + c[2] + c[3];
"""
KERNELS = {
    # 16-byte loads, nothing else.
    "plain": "__global__ void copy_kernel(const uint4* in, uint4* out) { out[threadIdx.x] = __ldg(in + threadIdx.x); }",
    # 64 values that are all alive at once do not fit into 24 registers.
    "spilled": """__global__ void crowded_kernel(const float* in, float* out) {
      float v[64];
      for (int i = 0; i < 64; i++) v[i] = in[i * 32 + threadIdx.x];
      for (int r = 0; r < 3; r++)
        for (int i = 0; i < 64; i++) v[i] = v[i] * v[(i * 7 + 3) & 63] + v[(i + 31) & 63];
      for (int i = 0; i < 64; i++) out[i * 32 + threadIdx.x] = v[i];
    }""",
    # A run-time index moves an array to local memory, with registers to spare.
    "indexed": """__global__ void indexed_kernel(const float* in, float* out, int n) {
      float v[64];
      for (int i = 0; i < 64; i++) v[i] = in[i];
      for (int i = 0; i < n; i++) v[(i * 7 + n) & 63] += v[(i * n) & 63];
      out[0] = v[n & 63];
    }""",
    "missed": "template <int kTile> __global__ void tiled_kernel(const float* in, float* out) "
              "{ out[threadIdx.x] = fmaf(in[0], in[1], in[kTile]); }\n"
              "template __global__ void tiled_kernel<8>(const float*, float*);",
    "hit": "namespace herd::cuda { namespace { __global__ void tiled_kernel(float* out) {" + MMA + "} }\n"
           "void* start() { return reinterpret_cast<void*>(tiled_kernel); } }",
}
FLAGS = {"spilled": ["-maxrregcount=24"]}

passed = failed = 0


def check(name, condition, detail=""):
    global passed, failed
    passed, failed = passed + bool(condition), failed + (not condition)
    print(f"{'PASSED' if condition else 'FAILED'} {name}{'' if condition else f': {detail}'}")


def skip(reason):
    print(f"SKIPPED: report on CUDA kernels: {reason}")
    return 0


def compiled(nvcc, folder, name, arch):
    source, target = folder / f"{name}.cu", folder / f"{name}_{arch}.o"
    source.write_text(KERNELS[name])
    subprocess.run([nvcc, "-std=c++20", f"-arch={arch}", *FLAGS.get(name, []), "-c", source, "-o", target], check=True)
    return target


def run(*words, environment=None):
    return subprocess.run([sys.executable, str(REPORT), *map(str, words)], capture_output=True, text=True,
                          env=environment, check=False)


def report(folder, *files):
    """(exit code, output, rows)."""
    json_file = folder / "rows.json"
    done = run(*files, "--json", json_file)
    return done.returncode, done.stdout + done.stderr, json.loads(json_file.read_text())


def check_kernels(nvcc, folder, arch):
    code, out, rows = report(folder, compiled(nvcc, folder, "plain", arch))
    check(f"{arch}: a plain kernel passes", code == 0 and len(rows) == 1, out)
    check(f"{arch}: its 16-byte load is counted", rows[0]["ldg_128"] == 1 and rows[0]["ldg_rest"] == 0, rows)
    check(f"{arch}: it uses registers and no local memory", rows[0]["registers"] > 0 and rows[0]["stack"] == 0, rows)

    code, out, rows = report(folder, compiled(nvcc, folder, "spilled", arch))
    check(f"{arch}: spilled registers are a problem", code == 1 and "crowded_kernel" in out.split("PROBLEM: ")[-1], out)
    check(f"{arch}: stores and loads of the spills are counted", rows[0]["stl"] > 0 and rows[0]["ldl"] > 0, rows)
    check(f"{arch}: the cap on registers shows", 0 < rows[0]["registers"] <= 24, rows)

    code, out, rows = report(folder, compiled(nvcc, folder, "indexed", arch))
    check(f"{arch}: an array in local memory is a problem", code == 1 and rows[0]["stack"] >= 256, out)

    code, out, rows = report(folder, compiled(nvcc, folder, "missed", arch))
    check(f"{arch}: a bf16 product without HMMA is a problem", code == 1 and "no HMMA" in out, out)
    check(f"{arch}: names are readable", rows[0]["kernel"] == "tiled_kernel<8>" or not shutil.which("c++filt"),
          rows)
    check(f"{arch}: ordinary multiply-adds are counted", rows[0]["ffma"] >= 1, rows)

    code, out, rows = report(folder, compiled(nvcc, folder, "hit", arch))
    check(f"{arch}: a bf16 product with HMMA passes", code == 0 and rows[0]["hmma"] == 1, out)


def main():
    nvcc = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
    if nvcc is None:
        return skip("no nvcc")
    try:
        cuda_report.find_tools()
    except cuda_report.Unusable as reason:
        return skip(str(reason))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for arch in ("sm_80", "sm_90"):
            check_kernels(nvcc, folder, arch)
        both = [folder / "plain_sm_80.o", folder / "spilled_sm_90.o"]
        code, out, rows = report(folder, *both)
        check("several files make one table", code == 1 and [row["arch"] for row in rows] == ["sm_80", "sm_90"], out)
        done = run(*both, "--arch", "sm_80")
        check("--arch leaves the others out", done.returncode == 0, done.stdout + done.stderr)
        library = folder / "libherd_cuda.so"
        shutil.copy(folder / "hit_sm_90.o", library)
        code, out, _ = report(folder, library)
        check("a library without its other kernels for tensor cores is a problem",
              code == 1 and "skinny_kernel (sm_90) is not in" in out and "tiled_kernel (sm_90) is not in" not in out, out)
        done = run(folder / "nothing.so")
        check("a file that is not there is said", done.returncode == 2 and "no such file" in done.stderr, done.stderr)
        done = run(REPORT)
        check("a file without kernels is said", done.returncode == 2, done.stdout + done.stderr)
        if not shutil.which("cuobjdump", path="/usr/local/cuda/bin"):
            # -S: no site-packages, so no wheels either.
            done = subprocess.run([sys.executable, "-S", str(REPORT), str(both[0])], capture_output=True, text=True,
                                  env={"PATH": str(folder)}, check=False)
            check("missing tools are named, exit code 4", done.returncode == 4 and "cuobjdump" in done.stderr, done.stderr)
    check("arguments are cut from names", cuda_report.short(
        "void herd::cuda::(anonymous namespace)::f<(int)8, herd::Row>(herd::View, float (*)(int))") == "f<8, Row>",
        cuda_report.short("void herd::cuda::(anonymous namespace)::f<(int)8, herd::Row>(herd::View, float (*)(int))"))
    print(f"{passed} passed, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
