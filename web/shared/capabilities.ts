/**
 * What this browser gives the engine, and why not where it does not: measured by asking, never by the browser's name.
 *
 * @module
 */

/** One ability. */
export interface Capability {
  /** In a word. */
  readonly name: string;
  /** Whether it is on. */
  readonly on: boolean;
  /** How much of it, or why not. */
  readonly why: string;
}

// (module (func (result v128) i32.const 0 i8x16.splat)): valid where SIMD is.
const simdModule = new Uint8Array([
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0],
  ...[10, 8, 1, 6, 0, 65, 0, 253, 15, 11],
]);

/** What is on, and why not. */
export async function capabilities(): Promise<Capability[]> {
  const wasm = typeof WebAssembly === "object";
  const isolated = globalThis.crossOriginIsolated === true;
  const cores = navigator.hardwareConcurrency ?? 1;
  // A browser that has the interface may have no adapter behind it.
  const { gpu } = navigator as { gpu?: { requestAdapter(): Promise<unknown> } };
  const adapter = await gpu?.requestAdapter().catch(() => null) ?? null;
  return [
    {
      name: "WebAssembly",
      on: wasm,
      why: wasm ? "the engine runs as machine code" : "this browser denies it, so the engine cannot start",
    },
    (() => {
      const on = wasm && WebAssembly.validate(simdModule);
      return { name: "SIMD", on, why: on ? "four numbers at a time" : "this browser lacks it" };
    })(),
    {
      name: "Threads",
      on: isolated && cores > 1,
      why: !isolated
        ? "off: the page was served without the headers that isolate it (COOP and COEP)"
        : cores > 1
        ? `${cores} at a time`
        : "this machine has one core",
    },
    {
      name: "WebGPU",
      on: adapter !== null,
      why: adapter !== null
        ? "an adapter answers"
        : gpu
        ? "this browser has it, but no adapter answers"
        : "this browser offers none",
    },
  ];
}

/** Writes them into `into`. */
export async function showCapabilities(into: HTMLElement): Promise<void> {
  const list = document.createElement("ul");
  list.setAttribute("aria-label", "What this browser gives");
  for (const { name, on, why } of await capabilities()) {
    const item = document.createElement("li"), mark = document.createElement("span");
    item.className = on ? "on" : "off";
    mark.className = "dot";
    mark.setAttribute("aria-hidden", "true");
    const label = document.createElement("strong");
    label.textContent = `${name} ${on ? "on" : "off"}`;
    item.append(mark, label, ` ${why}`);
    list.append(item);
  }
  into.replaceChildren(list);
}
