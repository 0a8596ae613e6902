#!/usr/bin/env python3
"""Makes kernels/duals_poly.h: the minimax polynomials of the ReLU duals (docs/accuracy.md).

With m = 1 - rho in [0, 1]:  k0 = 1 - sqrt(m) p(m),  k1 = (1 - m) + m^(3/2) s(m)   (arc-cosine kernels of order 0 and 1).
p and s are analytic there; Remez's exchange in 60 digits minimises the absolute error of k0 and k1, that is p weighted by
sqrt(m) and s by m^(3/2). Needs mpmath.   Usage: tools/polynomials.py > kernels/duals_poly.h
"""
import textwrap

import mpmath as mp

mp.mp.dps = 60



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


def remez(f, weight, degree):
    n = degree + 2
    nodes = [(1 - mp.cos(mp.pi * (2 * i + 1) / (2 * n))) / 2 for i in range(n)]
    for _ in range(12):
        rows, right = [], []
        for i, x in enumerate(nodes):
            rows.append([x**k for k in range(degree + 1)] + [(-1) ** i / weight(x)])
            right.append(f(x))
        solution = mp.lu_solve(mp.matrix(rows), mp.matrix(right))
        c = [solution[k] for k in range(degree + 1)]
        err = lambda x: weight(x) * (mp.polyval(c[::-1], x) - f(x))
        grid = [(1 - mp.cos(mp.pi * j / 600)) / 2 for j in range(601)]
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


def main():
    print("/* Minimax polynomials of the ReLU duals, lowest power first. Made by tools/polynomials.py: do not edit. */")
    print("#ifndef NTK_KERNELS_DUALS_POLY_H\n#define NTK_KERNELS_DUALS_POLY_H\n")
    for name, f, w, degrees in (
        ("P", p_exact, lambda m: mp.sqrt(m), (6, 17)),
        ("S", s_exact, lambda m: m ** mp.mpf("1.5"), (5, 15)),
    ):
        for d in degrees:
            c, err = remez(f, w, d)
            emit(f"NTK_DUAL_{name}{d}", c, err, 12 if d < 10 else 20)
    print("\n#endif")


if __name__ == "__main__":
    main()
