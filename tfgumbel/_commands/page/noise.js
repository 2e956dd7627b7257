/* Noise: the only part of the page that draws. */

/** Uniform numbers in (0, 1), both ends excluded: splitmix32. */
function uniforms(seed) {
  let state = mix(seed >>> 0);
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    return (mix(state) + 0.5) / 2 ** 32;
  };
}

/** A bijection of 32-bit words that scatters neighbours. */
function mix(word) {
  let bits = word;
  bits = Math.imul(bits ^ (bits >>> 16), 0x21f0aaad);
  bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97);
  return (bits ^ (bits >>> 15)) >>> 0;
}

/** Standard Gumbel noise from a uniform number: G = -log(-log(1 - u)). */
function gumbel(u) {
  return -Math.log(-Math.log1p(-u));
}

/** `count` vectors of independent Gumbel noise. */
function gumbelNoise(seed, count, classes) {
  const next = uniforms(seed);
  return Array.from({ length: count }, () =>
    Array.from({ length: classes }, () => gumbel(next())),
  );
}

/**
 * `count` vectors of Gumbel noise, spread evenly rather than at random: the
 * lattice frac(n α + shift) of Kronecker, with α_k = ρ^-k and ρ^(K+1) = ρ + 1.
 * Each vector is distributed as the noise is; means over them are far more
 * precise.
 */
function evenGumbelNoise(seed, count, classes) {
  const next = uniforms(seed);
  const shift = Array.from({ length: classes }, next);
  let root = 2;
  for (let i = 0; i < 40; i++) root = (1 + root) ** (1 / (classes + 1));
  return Array.from({ length: count }, (_, n) =>
    shift.map((start, k) => {
      const u = (start + n * root ** -(k + 1)) % 1;
      return gumbel(Math.max(u, 2 ** -33));
    }),
  );
}
