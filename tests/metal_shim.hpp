// What kernels.metal uses of the Metal Shading Language, for a C++ compiler: its types, and grids of
// simdgroups. The lanes of a simdgroup are fibres. Each runs until it asks for a sum over all of
// them, or to its end; when all have stopped, they go on together. Lanes that stop at different
// places are an error, as they are undefined on a GPU.

#include <cstdint>
#include <ucontext.h>

#define device
#define thread
#define constant

using uchar = uint8_t;
using ushort = uint16_t;
using uint = uint32_t;

template <typename To, typename From>
To as_type(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    __builtin_memcpy(&to, &from, sizeof to);
    return to;
}

struct half {  // IEEE 754 binary16
    uint16_t bits;
    operator float() const {
        uint32_t sign = uint32_t(bits & 0x8000) << 16, exponent = bits >> 10 & 31, fraction = bits & 1023;
        if (exponent == 31) return as_type<float>(sign | 0x7F800000 | fraction << 13);
        if (exponent == 0) return as_type<float>(sign | as_type<uint32_t>(fraction * 0x1p-24f));
        return as_type<float>(sign | (exponent + 112) << 23 | fraction << 13);
    }
};

struct uchar4 { uchar x, y, z, w; };
struct uint3 { uint x, y, z; };

struct float4 {
    float x, y, z, w;
    float4(float x, float y, float z, float w) : x(x), y(y), z(z), w(w) {}
    explicit float4(uchar4 v) : float4(v.x, v.y, v.z, v.w) {}
    float4 operator+(float s) const { return {x + s, y + s, z + s, w + s}; }
    float4 operator-(float s) const { return *this + -s; }
};

inline float4 operator*(float s, float4 v) { return {s * v.x, s * v.y, s * v.z, s * v.w}; }

namespace metal {

inline uint min(uint a, uint b) { return b < a ? b : a; }
inline float dot(float4 a, float4 b) { return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w; }
float simd_sum(float value);

}  // namespace metal

// ---- simdgroups ----

using Body = void (*)(void *kernel, uint3 position, uint lane);

struct Simdgroup {
    static const uint LANES = 32;
    ucontext_t scheduler, contexts[LANES];
    char stacks[LANES][1 << 16];
    bool done[LANES], waiting[LANES];
    uint3 positions[LANES];
    float given[LANES], sum;
    uint lane;
    Body body;
    void *kernel;
    bool diverged = false;

    void run(uint n);
    void resume(uint n);
};

static Simdgroup group;

static void enter() {
    group.body(group.kernel, group.positions[group.lane], group.lane);
    group.done[group.lane] = true;
}

inline float metal::simd_sum(float value) {
    uint lane = group.lane;
    group.given[lane] = value;
    group.waiting[lane] = true;
    swapcontext(&group.contexts[lane], &group.scheduler);
    return group.sum;
}

// The first n lanes, from their beginning to their end.
inline void Simdgroup::run(uint n) {
    for (uint i = 0; i < n; ++i) {
        done[i] = false;
        getcontext(&contexts[i]);
        contexts[i].uc_stack.ss_sp = stacks[i];
        contexts[i].uc_stack.ss_size = sizeof stacks[i];
        contexts[i].uc_link = &scheduler;
        makecontext(&contexts[i], enter, 0);
    }
    while (!done[0] && !diverged) resume(n);
}

// Each lane up to its next sum, then that sum.
inline void Simdgroup::resume(uint n) {
    for (lane = 0; lane < n; ++lane) {
        waiting[lane] = false;
        swapcontext(&scheduler, &contexts[lane]);
    }
    for (uint i = 0; i < n; ++i) diverged |= waiting[i] != waiting[0];
    for (uint i = n; i < LANES; ++i) given[i] = 0;
    for (uint half = LANES / 2; half; half /= 2)
        for (uint i = 0; i < half; ++i) given[i] += given[i + half];
    sum = given[0];
}

// `grid` threads in threadgroups of at most `size`; 32 threads of a threadgroup make a simdgroup.
template <typename Kernel>
bool dispatch(uint3 grid, uint3 size, Kernel kernel) {
    using metal::min;
    group.kernel = &kernel;
    group.body = [](void *k, uint3 position, uint lane) { (*(Kernel *)k)(position, lane); };
    group.diverged = false;
    for (uint z = 0; z < grid.z; z += size.z)
        for (uint y = 0; y < grid.y; y += size.y)
            for (uint x = 0; x < grid.x; x += size.x) {
                uint nx = min(size.x, grid.x - x), ny = min(size.y, grid.y - y), nz = min(size.z, grid.z - z);
                for (uint first = 0; first < nx * ny * nz; first += Simdgroup::LANES) {
                    uint n = min(Simdgroup::LANES, nx * ny * nz - first);
                    for (uint i = 0, t = first; i < n; ++i, ++t)
                        group.positions[i] = {x + t % nx, y + t / nx % ny, z + t / nx / ny};
                    group.run(n);
                    if (group.diverged) return false;
                }
            }
    return true;
}
