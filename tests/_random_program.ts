/**
 * Programs made at random: operations of every kind over arguments, tensors that are closed over and changed in place, and
 * numbers, with gradients and an optimizer at the end of some.
 *
 * A program is a seed. Running it chooses again at every step, by the shapes alone, so that it is the same program for
 * whatever values. What jumps (comparisons, order, rounding) is asked of arguments only, so that a last digit decides nothing.
 *
 * @module
 */
import {
  argmax,
  concat,
  copyInto,
  cumsum,
  dropout,
  embedding,
  gather,
  layerNorm,
  logSoftmax,
  matmul,
  maximum,
  mean,
  optim,
  pad,
  rand,
  randint,
  randn,
  reshape,
  rmsNorm,
  slice,
  softmax,
  sort,
  stack,
  sum,
  type Tensor,
  tensor,
  toDType,
  transpose,
  variance,
  where,
} from "../mod.ts";
