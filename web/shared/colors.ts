/**
 * The colours of the style sheet as canvases take them.
 *
 * @module
 */
let probe: HTMLElement | undefined;

/** The colour token `name`, such as "--accent", as it is now (light or dark): "rgb(…)". */
export function cssColor(name: string): string {
  if (probe === undefined) {
    probe = document.createElement("span");
    probe.hidden = true;
    // Under forced colours, too: two lines of a chart are told apart by them.
    probe.style.setProperty("forced-color-adjust", "none");
    document.body.append(probe);
  }
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

/** Red, green and blue from 0 to 255. */
export function rgbOf(color: string): [number, number, number] {
  const [r = 0, g = 0, b = 0] = (color.match(/[\d.]+/g) ?? []).map(Number);
  return [r, g, b];
}

/**
 * From low to high values: 256 colours in a row, as red, green, blue. Deep teal over sand to rust, each lighter or
 * darker than the last so that it reads without colour too.
 */
export function heatColors(dark: boolean): Uint8ClampedArray {
  const stops = dark
    ? [[16, 44, 58], [22, 66, 78], [44, 84, 84], [88, 92, 78], [128, 88, 66], [150, 74, 52]]
    : [[168, 208, 218], [196, 222, 222], [222, 231, 220], [240, 230, 206], [242, 206, 172], [230, 168, 136]];
  const colors = new Uint8ClampedArray(768);
  for (let i = 0; i < 256; i++) {
    const at = i / 255 * (stops.length - 1), k = Math.min(Math.floor(at), stops.length - 2), t = at - k;
    for (let c = 0; c < 3; c++) colors[3 * i + c] = stops[k][c] * (1 - t) + stops[k + 1][c] * t;
  }
  return colors;
}

/** Whether the page is dark now. */
export function isDark(): boolean {
  const [r, g, b] = rgbOf(cssColor("--paper"));
  return r + g + b < 384;
}
