// Log-sum-exp and its gradient's mean atom by hand, for AVX-512: what one core can do.
// s_ij = b_j - k |x_i - y_j|^2 in units of log 2 (the caller scales), coordinates as rows [d][n], m a multiple of 32.
#include <immintrin.h>

#include <initializer_list>

static inline __m512 exp2_below_zero(__m512 s) {
    const __m512 n = _mm512_roundscale_ps(s, 0), f = _mm512_sub_ps(s, n);
    __m512 p = _mm512_set1_ps(1.54035e-4f);
    for (float c : {1.33336e-3f, 9.61813e-3f, 5.55041e-2f, 2.402265e-1f, 6.9314718e-1f, 1.0f})
        p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(c));
    return _mm512_scalef_ps(p, n);
}

template <int D, bool MEAN>
static void sweep(const float* x, const float* y, const float* b, long m, long n, float* top, float* sums) {
    constexpr int GROUP = 8;
    for (long i = 0; i < m; i += 32) {
        __m512 q[D][2], hi[2], total[2], mean[D][2];
        for (int h = 0; h < 2; ++h) {
            hi[h] = _mm512_set1_ps(-1e30f), total[h] = _mm512_setzero_ps();
            for (int k = 0; k < D; ++k) q[k][h] = _mm512_loadu_ps(x + k * m + i + 16 * h), mean[k][h] = _mm512_setzero_ps();
        }
        for (long j = 0; j < n; j += GROUP) {
            const int count = n - j < GROUP ? int(n - j) : GROUP;
            for (int h = 0; h < 2; ++h) {
                __m512 s[GROUP], now = hi[h];
                for (int u = 0; u < GROUP; ++u) {
                    if (u >= count) { s[u] = _mm512_set1_ps(-1e30f); continue; }
                    s[u] = _mm512_set1_ps(b[j + u]);
                    for (int k = 0; k < D; ++k) {
                        const __m512 gap = _mm512_sub_ps(q[k][h], _mm512_set1_ps(y[k * n + j + u]));
                        s[u] = _mm512_fnmadd_ps(gap, gap, s[u]);
                    }
                    now = _mm512_max_ps(now, s[u]);
                }
                const __m512 shrink = exp2_below_zero(_mm512_sub_ps(hi[h], now));
                hi[h] = now, total[h] = _mm512_mul_ps(total[h], shrink);
                if (MEAN) for (int k = 0; k < D; ++k) mean[k][h] = _mm512_mul_ps(mean[k][h], shrink);
                for (int u = 0; u < GROUP; ++u) {
                    const __m512 w = exp2_below_zero(_mm512_sub_ps(s[u], now));
                    total[h] = _mm512_add_ps(total[h], w);
                    if (MEAN && u < count)
                        for (int k = 0; k < D; ++k) mean[k][h] = _mm512_fmadd_ps(w, _mm512_set1_ps(y[k * n + j + u]), mean[k][h]);
                }
            }
        }
        for (int h = 0; h < 2; ++h) {
            _mm512_storeu_ps(top + i + 16 * h, hi[h]), _mm512_storeu_ps(sums + i + 16 * h, total[h]);
            if (MEAN) for (int k = 0; k < D; ++k) _mm512_storeu_ps(sums + (k + 1) * m + i + 16 * h, mean[k][h]);
        }
    }
}

extern "C" void forward3(const float* x, const float* y, const float* b, long m, long n, float* top, float* sums) {
    sweep<3, false>(x, y, b, m, n, top, sums);
}
extern "C" void gradient3(const float* x, const float* y, const float* b, long m, long n, float* top, float* sums) {
    sweep<3, true>(x, y, b, m, n, top, sums);
}
