/**
 * The surface in three dimensions, by WebGL: a mesh of the heights in the colours of the map, and the ways over it.
 *
 * @module
 */
import type { Landscape } from "../../src/landscape/mod.ts";
import { fitCanvas } from "../shared/chart.ts";
import { cssColor, heatColors, isDark, rgbOf } from "../shared/colors.ts";
import { cells, type Heights } from "./map.ts";
import { contourLines } from "./contours.ts";
import { capacity, type Race, rowLength } from "./race.ts";

const vertexSource = `
attribute vec3 place; attribute vec3 color; uniform mat4 view; uniform float size; varying vec3 shade;
void main() { gl_Position = view * vec4(place, 1.0); gl_PointSize = size; shade = color; }`;
const fragmentSource = `
precision mediump float; varying vec3 shade; uniform float round;
void main() { if (round > 0.5 && distance(gl_PointCoord, vec2(0.5)) > 0.5) discard; gl_FragColor = vec4(shade, 1.0); }`;

const trail = 400, side = 100, levels = 16, mostPoints = 4096;

/** The scene on its canvas. */
export class Scene {
  readonly #canvas: HTMLCanvasElement;
  readonly #heights: Heights;
  readonly #gl: WebGLRenderingContext;
  readonly #mesh: WebGLBuffer;
  readonly #indices: WebGLBuffer;
  readonly #way: WebGLBuffer;
  readonly #contours: WebGLBuffer;
  /** How many points the contour lines have, two a piece. */
  #contourPoints = 0;
  readonly #wayData = new Float32Array(6 * mostPoints);
  readonly #view = new Float32Array(16);
  readonly #uniform: (name: string) => WebGLUniformLocation | null;
  #surface: Landscape | null = null;
  #colors: readonly (readonly [number, number, number])[] = [];
  #paper: readonly [number, number, number] = [0, 0, 0];
  /** Turns about the upright axis, in radians. */
  turn = 0.7;
  /** How far from above, in radians. */
  tilt = 0.85;

  /** A scene. @throws where there is no WebGL. */
  constructor(canvas: HTMLCanvasElement, heights: Heights) {
    const gl = canvas.getContext("webgl", { antialias: true, preserveDrawingBuffer: true });
    if (gl === null) {
      throw new Error("This browser offers no WebGL, so there is no 3-D view; the map shows the same.");
    }
    this.#canvas = canvas;
    this.#heights = heights;
    this.#gl = gl;
    const program = gl.createProgram()!;
    for (
      const [type, source] of [[gl.VERTEX_SHADER, vertexSource], [
        gl.FRAGMENT_SHADER,
        fragmentSource,
      ]] as const
    ) {
      const shader = gl.createShader(type)!;
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.bindAttribLocation(program, 0, "place");
    gl.bindAttribLocation(program, 1, "color");
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
      throw new Error(`The 3-D view does not work here: ${gl.getProgramInfoLog(program)}`);
    }
    gl.useProgram(program);
    gl.enable(gl.DEPTH_TEST);
    gl.enableVertexAttribArray(0);
    gl.enableVertexAttribArray(1);
    const locations = new Map<string, WebGLUniformLocation | null>();
    for (const name of ["view", "size", "round"]) locations.set(name, gl.getUniformLocation(program, name));
    this.#uniform = (name) => locations.get(name) ?? null;
    this.#mesh = gl.createBuffer()!;
    this.#indices = gl.createBuffer()!;
    this.#way = gl.createBuffer()!;
    this.#contours = gl.createBuffer()!;
    const indices = new Uint16Array(6 * (side - 1) * (side - 1));
    for (let j = 0, n = 0; j < side - 1; j++) {
      for (let i = 0; i < side - 1; i++) {
        const k = j * side + i;
        indices.set([k, k + 1, k + side, k + 1, k + side + 1, k + side], n);
        n += 6;
      }
    }
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.#indices);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, indices, gl.STATIC_DRAW);
  }

  /** Height on the mesh at u, v from 0 to 1. */
  #level(u: number, v: number): number {
    const i = Math.min(Math.max(u, 0), 1) * (cells - 1), j = Math.min(Math.max(v, 0), 1) * (cells - 1);
    const i0 = Math.min(Math.floor(i), cells - 2), j0 = Math.min(Math.floor(j), cells - 2);
    const s = i - i0, t = j - j0, k = j0 * cells + i0, { level } = this.#heights;
    return (level[k] * (1 - s) + level[k + 1] * s) * (1 - t) +
      (level[k + cells] * (1 - s) + level[k + cells + 1] * s) * t;
  }

  /** Height of the mesh as it is drawn, in its triangles: lines that follow it lie on it. */
  #ground(u: number, v: number): number {
    const i = Math.min(Math.max(u, 0), 1) * (side - 1), j = Math.min(Math.max(v, 0), 1) * (side - 1);
    const i0 = Math.min(Math.floor(i), side - 2),
      j0 = Math.min(Math.floor(j), side - 2),
      s = i - i0,
      t = j - j0;
    const at = (k: number, l: number): number => this.#level((i0 + k) / (side - 1), (j0 + l) / (side - 1));
    const right = at(1, 0), up = at(0, 1);
    if (s + t <= 1) {
      const low = at(0, 0);
      return low + s * (right - low) + t * (up - low);
    }
    const high = at(1, 1);
    return high + (1 - s) * (up - high) + (1 - t) * (right - high);
  }

  /** Takes another surface, or other colours: those of the racers are CSS colours. */
  paint(surface: Landscape, racers: readonly string[]): void {
    this.#surface = surface;
    this.#colors = racers.map((color) => rgbOf(color).map((c) => c / 255) as [number, number, number]);
    this.#paper = rgbOf(cssColor("--sunken")).map((c) => c / 255) as [number, number, number];
    const data = new Float32Array(6 * side * side), colors = heatColors(isDark());
    for (let j = 0, n = 0; j < side; j++) {
      for (let i = 0; i < side; i++, n += 6) {
        const u = i / (side - 1), v = j / (side - 1), z = this.#level(u, v);
        // Light from the left: slopes that face it are brighter.
        const light = 0.9 + 2.2 * (this.#level(u - 0.01, v) - this.#level(u + 0.01, v));
        const color = 3 * Math.round(255 * z);
        data[n] = 2 * u - 1;
        data[n + 1] = 2 * v - 1;
        data[n + 2] = z;
        for (let c = 0; c < 3; c++) {
          data[n + 3 + c] = colors[color + c] / 255 * Math.min(Math.max(light, 0.55), 1.15);
        }
      }
    }
    const gl = this.#gl;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#mesh);
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
    const lines = contourLines(data, side, levels), ink = rgbOf(cssColor("--ink")).map((c) => c / 255);
    const points = new Float32Array(2 * lines.length);
    for (let k = 0; k < lines.length / 3; k++) {
      points.set(lines.slice(3 * k, 3 * k + 3), 6 * k);
      // Between the ground and ink: seen, and not in the way of the racers.
      for (let c = 0; c < 3; c++) {
        const ground = colors[3 * Math.round(255 * lines[3 * k + 2]) + c] / 255;
        points[6 * k + 3 + c] = 0.6 * ground + 0.4 * ink[c];
      }
    }
    this.#contourPoints = lines.length / 3;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#contours);
    gl.bufferData(gl.ARRAY_BUFFER, points, gl.STATIC_DRAW);
  }

  /** Rotation, then perspective, written out. */
  #look(aspect: number): void {
    const c = Math.cos(this.turn), s = Math.sin(this.turn), d = Math.cos(this.tilt), e = Math.sin(this.tilt);
    const f = 2.1, near = 0.5, far = 8, distance = 2.9, m = this.#view, fx = f / Math.max(aspect, 1);
    const fy = f * Math.min(aspect, 1), a = (far + near) / (near - far), b = 2 * far * near / (near - far);
    // Columns of projection · translation · tilt · turn; z of the surface is centred at 0.35.
    const rows = this.#rows;
    rows[0] = c;
    rows[1] = -s;
    rows[2] = 0;
    rows[3] = d * s;
    rows[4] = d * c;
    rows[5] = e;
    rows[6] = -e * s;
    rows[7] = -e * c;
    rows[8] = d;
    for (let i = 0; i < 3; i++) {
      m[4 * i] = fx * rows[i];
      m[4 * i + 1] = fy * rows[3 + i];
      m[4 * i + 2] = a * rows[6 + i];
      m[4 * i + 3] = -rows[6 + i];
    }
    const lift = -0.35;
    m[12] = fx * rows[2] * lift;
    m[13] = fy * rows[5] * lift;
    m[14] = a * (rows[8] * lift - distance) + b;
    m[15] = -(rows[8] * lift - distance);
  }
  readonly #rows = new Float32Array(9);

  /** Draws the ways up to `step`. */
  draw(race: Race, step: number, shown: readonly boolean[]): void {
    const gl = this.#gl, { width, height } = fitCanvas(this.#canvas), [r, g, b] = this.#paper;
    if (this.#surface === null) return;
    gl.viewport(0, 0, this.#canvas.width, this.#canvas.height);
    gl.clearColor(r, g, b, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    this.#look(width / (height || 1));
    gl.uniformMatrix4fv(this.#uniform("view"), false, this.#view);
    gl.uniform1f(this.#uniform("round"), 0);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#mesh);
    gl.vertexAttribPointer(0, 3, gl.FLOAT, false, 24, 0);
    gl.vertexAttribPointer(1, 3, gl.FLOAT, false, 24, 12);
    // Lines win over the triangles that they lie on.
    gl.enable(gl.POLYGON_OFFSET_FILL);
    gl.polygonOffset(2, 4);
    gl.drawElements(gl.TRIANGLES, 6 * (side - 1) * (side - 1), gl.UNSIGNED_SHORT, 0);
    gl.disable(gl.POLYGON_OFFSET_FILL);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#contours);
    gl.vertexAttribPointer(0, 3, gl.FLOAT, false, 24, 0);
    gl.vertexAttribPointer(1, 3, gl.FLOAT, false, 24, 12);
    gl.drawArrays(gl.LINES, 0, this.#contourPoints);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#way);
    for (let i = 0; i < race.racers.length; i++) if (shown[i]) this.#drawWay(race, i, step);
  }

  #drawWay(race: Race, index: number, step: number): void {
    const gl = this.#gl,
      racer = race.racers[index],
      { ring } = racer,
      [x0, x1, y0, y1] = this.#surface!.domain;
    const last = Math.min(step, racer.steps), first = racer.oldest, data = this.#wayData;
    const stride = Math.max(1, Math.ceil((last - first) / trail)), color = this.#colors[index];
    let count = 0, u0 = 0, v0 = 0;
    for (let s = first + (last - first) % stride; s <= last && count < mostPoints; s += stride) {
      const row = (s % capacity) * rowLength;
      const u = Math.min(Math.max((ring[row] - x0) / (x1 - x0), -0.1), 1.1);
      const v = Math.min(Math.max((ring[row + 1] - y0) / (y1 - y0), -0.1), 1.1);
      // A long step follows the ground that it passes over, cell by cell.
      const long = Math.max(Math.abs(u - u0), Math.abs(v - v0)) * (side - 1);
      const pieces = count === 0 || !(long > 1) ? 1 : Math.ceil(long),
        room = Math.min(pieces, mostPoints - count);
      for (let k = 1; k <= room; k++, count++) {
        const t = k / room, at = 6 * count, uk = u0 + t * (u - u0), vk = v0 + t * (v - v0);
        data[at] = 2 * uk - 1;
        data[at + 1] = 2 * vk - 1;
        data[at + 2] = this.#ground(uk, vk) + 0.012;
        data[at + 3] = color[0];
        data[at + 4] = color[1];
        data[at + 5] = color[2];
      }
      [u0, v0] = [u, v];
    }
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW);
    gl.vertexAttribPointer(0, 3, gl.FLOAT, false, 24, 0);
    gl.vertexAttribPointer(1, 3, gl.FLOAT, false, 24, 12);
    gl.drawArrays(gl.LINE_STRIP, 0, count);
    // Heads show through the hills, so that nobody is lost from sight.
    gl.disable(gl.DEPTH_TEST);
    gl.uniform1f(this.#uniform("round"), 1);
    gl.uniform1f(this.#uniform("size"), 12);
    gl.drawArrays(gl.POINTS, count - 1, 1);
    gl.uniform1f(this.#uniform("round"), 0);
    gl.enable(gl.DEPTH_TEST);
  }
}
