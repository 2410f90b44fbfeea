/**
 * Digests of bytes that arrive in pieces.
 *
 * Servers have them built in, at the speed of the processor's own instructions. A browser's WebCrypto takes a
 * message whole, so there SHA-256 (FIPS 180-4) is computed here, and SHA-1, which only small files need, of what was
 * collected.
 *
 * @module
 */
import { builtinModule } from "./runtime.ts";

/** A digest in the making. */
export interface Hash {
  /** Takes the next bytes. */
  update(bytes: Uint8Array): void;
  /** The digest in lower-case hexadecimal; nothing can be added afterwards. */
  digest(): Promise<string>;
}

/** Begins a digest. */
export function startHash(algorithm: "sha1" | "sha256"): Hash {
  const hash = builtinModule("node:crypto")?.createHash(algorithm);
  if (hash !== undefined) {
    return { update: (bytes) => void hash.update(bytes), digest: () => Promise.resolve(hash.digest("hex")) };
  }
  return algorithm === "sha256" ? new Sha256() : new CollectedSha1();
}

class CollectedSha1 implements Hash {
  readonly #parts: Uint8Array<ArrayBuffer>[] = [];

  update(bytes: Uint8Array): void {
    this.#parts.push(new Uint8Array(bytes));
  }

  async digest(): Promise<string> {
    const whole = await new Blob(this.#parts).arrayBuffer();
    return hexOf(new Uint8Array(await crypto.subtle.digest("SHA-1", whole)));
  }
}

/** SHA-256 in plain TypeScript, for runtimes that build in no digest that takes pieces. */
export class Sha256 implements Hash {
  readonly #state: Int32Array = initial.slice();
  readonly #block: Uint8Array = new Uint8Array(64);
  readonly #words: Int32Array = new Int32Array(64);
  #length = 0;

  /** Takes the next bytes. */
  update(bytes: Uint8Array): void {
    let at = 0;
    const filled = this.#length % 64;
    this.#length += bytes.length;
    if (filled > 0) {
      at = Math.min(64 - filled, bytes.length);
      this.#block.set(bytes.subarray(0, at), filled);
      if (filled + at < 64) return;
      this.#compress(this.#block, 0);
    }
    for (; at + 64 <= bytes.length; at += 64) this.#compress(bytes, at);
    this.#block.set(bytes.subarray(at));
  }

  /** The digest. */
  digest(): Promise<string> {
    const length = this.#length, end = new Uint8Array((length % 64 < 56 ? 64 : 128) - length % 64);
    end[0] = 0x80;
    const view = new DataView(end.buffer);
    view.setUint32(end.length - 8, Math.floor(length / 0x20000000));
    view.setUint32(end.length - 4, (length % 0x20000000) * 8);
    this.update(end);
    const bytes = new DataView(new ArrayBuffer(32));
    this.#state.forEach((word, i) => bytes.setInt32(4 * i, word));
    return Promise.resolve(hexOf(new Uint8Array(bytes.buffer)));
  }

  #compress(bytes: Uint8Array, at: number): void {
    const w = this.#words, state = this.#state, k = constants;
    for (let i = 0; i < 16; i++, at += 4) {
      w[i] = bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3];
    }
    for (let i = 16; i < 64; i++) {
      const a = w[i - 15], b = w[i - 2];
      const s0 = (a >>> 7 | a << 25) ^ (a >>> 18 | a << 14) ^ a >>> 3;
      const s1 = (b >>> 17 | b << 15) ^ (b >>> 19 | b << 13) ^ b >>> 10;
      w[i] = w[i - 16] + s0 + w[i - 7] + s1 | 0;
    }
    let a = state[0], b = state[1], c = state[2], d = state[3];
    let e = state[4], f = state[5], g = state[6], h = state[7];
    for (let i = 0; i < 64; i++) {
      const s1 = (e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7);
      const t1 = h + s1 + (e & f ^ ~e & g) + k[i] + w[i] | 0;
      const s0 = (a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10);
      const t2 = s0 + (a & b ^ a & c ^ b & c) | 0;
      h = g;
      g = f;
      f = e;
      e = d + t1 | 0;
      d = c;
      c = b;
      b = a;
      a = t1 + t2 | 0;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
  }
}

function hexOf(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The first 32 bits of the fractional parts of the square (or cube) roots of the first primes. */
function rootBits(count: number, root: (n: number) => number): Int32Array {
  const primes: number[] = [];
  for (let n = 2; primes.length < count; n++) if (primes.every((p) => n % p !== 0)) primes.push(n);
  return Int32Array.from(primes, (p) => (root(p) % 1) * 2 ** 32 | 0);
}

const initial = rootBits(8, Math.sqrt);
const constants = rootBits(64, Math.cbrt);
