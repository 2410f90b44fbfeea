/**
 * Images from their columns, and the grids that samples are taken at.
 *
 * @module
 */
import { sizeOf } from "../../core/shape.ts";
import * as f from "../../ops/mod.ts";
import type { Tensor } from "../../ops/mod.ts";
import type { Call, OperatorTable, Result } from "../call.ts";
import { valueOf } from "../values.ts";

/** The most elements of an image, and of the list of where its columns go, that is worked out here. */
const mostPlaces = 2 ** 26;

/** Columns of blocks, [batch, channels · block, places], added up where the blocks lie: [batch, channels, …image]. */
function columnsToImage(c: Call): Result {
  const x = c.t(0), image = c.numbers(1), block = c.numbers(2), rank = image.length;
  const dilations = c.ints("dilations") ?? image.map(() => 1),
    strides = c.ints("strides") ?? image.map(() => 1);
  const pads = c.ints("pads") ?? [...image, ...image].map(() => 0);
  const lists = [block, dilations, strides, pads.slice(rank)];
  if (rank === 0 || lists.some((list) => list.length !== rank) || pads.length !== 2 * rank) {
    throw c.fail(`its lists are not one for each of ${rank} axes of the image`);
  }
  if ([...image, ...block, ...dilations, ...strides].some((n) => !Number.isInteger(n) || n < 1)) {
    throw c.fail("image_shape, block_shape, dilations and strides are whole numbers from 1");
  }
  const counts = image.map((n, i) =>
    Math.floor((n + pads[i] + pads[rank + i] - dilations[i] * (block[i] - 1) - 1) / strides[i]) + 1
  );
  const size = sizeOf(image),
    cells = sizeOf(block),
    places = sizeOf(counts),
    [batch, rows, columns] = x.shape;
  if (!(cells * places <= mostPlaces) || !(size <= mostPlaces)) {
    throw c.fail(`an image of ${size} elements from ${places} blocks of ${cells}`);
  }
  if (x.shape.length !== 3 || rows % cells !== 0 || columns !== places) {
    throw c.fail(`[${x.shape}] is not [batch, a multiple of ${cells}, ${places}]`);
  }
  const channels = rows / cells, at: number[] = [];
  for (let cell = 0; cell < cells; cell++) {
    for (let place = 0; place < places; place++) {
      let own = 0, restCell = cell, restPlace = place, step = 1, isInside = true;
      for (let i = rank - 1; i >= 0; i--) {
        const p = restPlace % counts[i] * strides[i] + restCell % block[i] * dilations[i] - pads[i];
        restCell = Math.floor(restCell / block[i]);
        restPlace = Math.floor(restPlace / counts[i]);
        isInside &&= p >= 0 && p < image[i];
        own += p * step;
        step *= image[i];
      }
      // What falls on the border goes to a place behind the image.
      at.push(isInside ? own : size);
    }
  }
  const source = f.reshape(x, [batch, channels, cells * places]);
  const index = f.expand(f.tensor(at, { dtype: "i32", device: x.device }), source.shape);
  const blank = f.zeros([batch, channels, size + 1], { dtype: x.dtype, device: x.device });
  const sum = f.scatterAdd(blank, 2, f.contiguous(index), source);
  return valueOf(f.reshape(f.narrow(sum, 2, 0, size), [batch, channels, ...image]), c.type(0));
}

/** Where an affine map takes the places of an image: [batch, …sizes, axes], the last axis of the image first. */
function affineGrid(c: Call): Result {
  const theta = c.t(0), [batch, , ...sizes] = c.numbers(1), axes = sizes.length;
  const isAligned = c.int("align_corners", 0) !== 0, { dtype, device } = theta;
  if (String(theta.shape) !== String([batch, axes, axes + 1]) || (axes !== 2 && axes !== 3)) {
    throw c.fail(`theta is [${theta.shape}], expected [${batch}, ${axes}, ${axes + 1}] of 2 or 3 axes`);
  }
  const count = sizeOf(sizes);
  if (!(count <= mostPlaces)) throw c.fail(`a grid of ${count} places`);
  const ones = f.ones([count], { dtype, device });
  const spots = sizes.map((n, i): Tensor => {
    const line = Array.from(
      { length: n },
      (_, k) => isAligned ? n > 1 ? 2 * k / (n - 1) - 1 : 0 : (2 * k + 1) / n - 1,
    );
    const along = f.tensor(line, { dtype, device, shape: sizes.map((_, j) => j === i ? n : 1) });
    return f.reshape(f.expand(along, sizes), [count]);
  });
  const base = f.stack([...spots.reverse(), ones], 1); // [count, axes + 1]
  const all = f.expand(f.unsqueeze(base, 0), [batch, count, axes + 1]);
  return valueOf(f.reshape(f.matmul(all, f.transpose(theta, 1, 2)), [batch, ...sizes, axes]), c.type(0));
}

/** The operators. */
export const images: OperatorTable = {
  Col2Im: { since: [18], host: [1, 2], run: columnsToImage },
  AffineGrid: { since: [20], host: [1], run: affineGrid },
};
