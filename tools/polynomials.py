#!/usr/bin/env python3
"""Makes kernels/duals_poly.h: the minimax polynomials of the ReLU duals (docs/accuracy.md).

With m = 1 - rho in [0, 1]:  k0 = 1 - sqrt(m) p(m),  k1 = (1 - m) + m^(3/2) s(m)   (arc-cosine kernels of order 0 and 1).
p and s are analytic there; Remez's exchange in 60 digits minimises the absolute error of k0 and k1, that is p weighted by
sqrt(m) and s by m^(3/2).

Where a vector can look up 16 floats at once, quadratics on 16 intervals of m are cheaper than one polynomial: interval i
is |15 m - i| <= 1/2, so that i is what rounding 15 m gives. There m and sqrt(m) come scaled by TABLE_SCALE = 15/16 and its
root, which makes the interval the low bits of m + 2^19; the tables absorb the scale. Their coefficients are rounded to
float32 one after the other, each fit knowing the rounding before it.

Needs mpmath.   Usage: tools/polynomials.py > kernels/duals_poly.h
"""
import struct
import textwrap

import mpmath as mp

mp.mp.dps = 60
TABLE_SCALE = mp.mpf(15) / 16

def p_exact(m):
    # acos(1-m)/(pi sqrt m) = (sqrt2/pi) asin(t)/t with t = sqrt(m/2)
    t = mp.sqrt(m / 2)
    return mp.sqrt(2) / mp.pi * (mp.asin(t) / t if t else 1)


def s_exact(m):
    # d/dm [m^(3/2) s] = 1 - k0 = sqrt(m) p, so s = m^(-3/2) int_0^m sqrt(u) p(u) du, term by term from asin's series
    if m > mp.mpf("0.05"):
        rho = 1 - m
        k1 = (mp.sqrt(1 - rho**2) + rho * (mp.pi - mp.acos(rho))) / mp.pi
        return (k1 - rho) / m ** mp.mpf("1.5")
    total, term = mp.mpf(0), mp.mpf(1)
    for k in range(80):
        coefficient = mp.binomial(2 * k, k) / (mp.mpf(4) ** k * (2 * k + 1)) * (m / 2) ** k
        total += coefficient / (k + mp.mpf(3) / 2)
    return mp.sqrt(2) / mp.pi * total


def asin_exact(z):
    t = mp.sqrt(z)
    return (mp.asin(t) / t if t else mp.mpf(1)) / mp.pi


def remez(f, weight, degree, low=mp.mpf(0), high=mp.mpf(1), points=600):
    n = degree + 2
    place = lambda angle: low + (high - low) * (1 - mp.cos(angle)) / 2
    nodes = [place(mp.pi * (2 * i + 1) / (2 * n)) for i in range(n)]
    for _ in range(12):
        rows, right = [], []
        for i, x in enumerate(nodes):
            rows.append([x**k for k in range(degree + 1)] + [(-1) ** i / weight(x)])
            right.append(f(x))
        solution = mp.lu_solve(mp.matrix(rows), mp.matrix(right))
        c = [solution[k] for k in range(degree + 1)]
        err = lambda x: weight(x) * (mp.polyval(c[::-1], x) - f(x))
        grid = [place(mp.pi * j / points) for j in range(points + 1)]
        values = [err(x) for x in grid]
        extrema, best = [], None
        for x, v in zip(grid, values):
            if best is not None and v * best[1] > 0:
                if abs(v) > abs(best[1]):
                    best = (x, v)
            else:
                if best is not None:
                    extrema.append(best)
                best = (x, v) if v != 0 else None
        if best is not None:
            extrema.append(best)
        if len(extrema) < n:
            break
        while len(extrema) > n:
            if abs(extrema[0][1]) < abs(extrema[-1][1]):
                extrema.pop(0)
            else:
                extrema.pop()
        worst = max(abs(v) for _, v in extrema)
        level = min(abs(v) for _, v in extrema)
        nodes = [x for x, _ in extrema]
        if worst / level < mp.mpf("1.001"):
            break
    return c, max(abs(v) for v in values)


def emit(name, c, err, digits):
    body = textwrap.wrap(", ".join(mp.nstr(v, digits) for v in c), 100)
    print(f"/* max error {mp.nstr(err, 3)} */")
    print(f"#define {name} \\\n  " + " \\\n  ".join(body))


def as_float(x):
    return mp.mpf(struct.unpack("f", struct.pack("f", float(x)))[0])


def table_entry(f, weight, low, high):
    """Quadratic in m * TABLE_SCALE on one interval, coefficients rounded to float32, and its error."""
    fixed = [mp.mpf(0)] * 3
    for degree in (2, 1, 0):
        c, _ = remez(lambda m: f(m) - mp.polyval(fixed[::-1], m * TABLE_SCALE), weight, degree, low, high, 60)
        fixed[degree] = as_float(c[degree] / TABLE_SCALE**degree)
    grid = [low + (high - low) * j / 60 for j in range(61)]
    return fixed, max(abs(weight(m) * (mp.polyval(fixed[::-1], m * TABLE_SCALE) - f(m))) for m in grid)


def emit_table(name, f, weight):
    root = mp.sqrt(TABLE_SCALE)
    columns, worst = [], 0
    for i in range(16):
        low, high = max(mp.mpf(0), mp.mpf(2 * i - 1) / 30), min(mp.mpf(1), mp.mpf(2 * i + 1) / 30)
        c, err = table_entry(lambda m: f(m) / root, lambda m: weight(m) * root, low, high)
        columns.append(c)
        worst = max(worst, err)
    print(f"/* max error {mp.nstr(worst, 3)} */")
    print(f"#define {name} \\")
    rows = ["{" + ", ".join(mp.nstr(c[k], 9) for c in columns) + "}" for k in range(3)]
    print("  " + ", \\\n  ".join(" \\\n   ".join(textwrap.wrap(row, 100)) for row in rows))


def main():
    print("/* Minimax polynomials of the ReLU duals, lowest power first. Made by tools/polynomials.py: do not edit. */")
    print("#ifndef NTK_KERNELS_DUALS_POLY_H\n#define NTK_KERNELS_DUALS_POLY_H\n/* clang-format off */\n")
    for name, f, w, degrees in (
        ("P", p_exact, lambda m: mp.sqrt(m), (6, 17)),
        ("S", s_exact, lambda m: m ** mp.mpf("1.5"), (5, 15)),
    ):
        for d in degrees:
            c, err = remez(f, w, d)
            emit(f"NTK_DUAL_{name}{d}", c, err, 12 if d < 10 else 20)
    # asin(t) = pi t f(t^2) for t up to sqrt(1/2) and a little more, to a relative error: the angles of other activations
    c, err = remez(asin_exact, lambda z: 1 / asin_exact(z), 18, mp.mpf(0), mp.mpf("0.5001"))
    emit("NTK_DUAL_ASIN18", c, err, 20)
    # After the first ReLU m near 1 is rare: exact below 0.6, where a deep network's entries are, at one degree less.
    c, err = remez(p_exact, lambda m: mp.sqrt(m) / (1 + 8 * m**6), 5)
    largest = lambda low, high: max(
        mp.sqrt(x) * abs(mp.polyval(c[::-1], x) - p_exact(x)) for x in mp.linspace(mp.mpf(low), mp.mpf(high), 200)
    )
    print(f"/* after the first ReLU: error up to m = 0.6 {mp.nstr(largest(0, 0.6), 3)}, up to 1 below: */")
    emit("NTK_DUAL_P5_LATER", c, largest(0, 1), 12)
    print(f"/* quadratics on 16 intervals, in m and sqrt(m) scaled: constant, linear, quadratic coefficients */")
    print(f"#define NTK_DUAL_TABLE_SCALE {mp.nstr(TABLE_SCALE, 9)}")
    emit_table("NTK_DUAL_P_TABLE", p_exact, lambda m: mp.sqrt(m))
    emit_table("NTK_DUAL_S_TABLE", s_exact, lambda m: m ** mp.mpf("1.5"))
    print("\n#endif")


if __name__ == "__main__":
    main()
