/**
 * What is said about mistakes: the class of the error, what was given, what was expected.
 */
import { assert, assertMatch, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import type { DType } from "../src/core/dtype.ts";
import { DeviceError, DTypeError, FerrotypeError, OptionError, ShapeError } from "../src/core/errors.ts";
import * as F from "../src/ops/mod.ts";
import { type Tensor, tensor } from "../src/ops/mod.ts";
import { setDefaultDevice } from "../src/tensor/mod.ts";
import { eachDevice, testDevices } from "./_devices.ts";

/** Throws unless `f` throws an error of `type` whose message says `message`. */
function throws(f: () => unknown, type: typeof FerrotypeError, message: RegExp): void {
  {
    const error = assertThrows(f, Error);

    assert(error instanceof type, `${error.name} instead of ${type.name}: ${error.message}`);

    assertMatch(error.message, message);
  }
}

eachDevice((device) => {
  describe("mistakes", () => {
    const t = (shape: number[], dtype: DType = "f32"): Tensor => F.zeros(shape, { device, dtype });

    it("in making tensors", () => {
      throws(
        () => tensor([[1, 2], [3]], { device }),
        ShapeError,
        /ragged: data\[1\] has 1 entry where others have 2/,
      );
      throws(
        () => tensor([[1, 2], 3] as never, { device }),
        ShapeError,
        /ragged: data\[1\] is a number where others are lists/,
      );
      throws(
        () => tensor([1, [2]] as never, { device }),
        ShapeError,
        /ragged: data\[1\] is a list where others are numbers/,
      );
      throws(() => tensor(["a"] as never, { device }), DTypeError, /data\[0\] is string, not a number/);
      throws(
        () => tensor([1, 2, 3], { device, shape: [2, 2] }),
        ShapeError,
        /3 values cannot fill the shape \[2, 2\] of 4/,
      );
      throws(
        () => tensor([1], { device, dtype: "f8" as never }),
        OptionError,
        /tensor: dtype is "f8", expected "f64", "f32"/,
      );
      throws(
        () => tensor(new Uint16Array(2), { device }),
        DTypeError,
        /Uint16Array needs its meaning said.*dtype: "f16"/,
      );
      throws(
        () => F.zeros(3 as never, { device }),
        ShapeError,
        /zeros: a shape is a list of sizes such as \[2, 3\], not 3/,
      );
      throws(() => F.zeros([2, -1], { device }), ShapeError, /zeros: \[2, -1\] is not a shape/);
      throws(() => F.arange(0, 1, 0, { device }), OptionError, /the step not 0/);
      throws(() => F.randint(3, 3, [1], { device }), OptionError, /low 3 and high 3/);
      throws(() => F.rand([1], { device, dtype: "i32" }), DTypeError, /use randint for i32/);
      throws(
        () => F.rand([1], { device, seed: -1 }),
        OptionError,
        /seed is -1, expected a whole number from 0/,
      );
    });

    it("in arithmetic", () => {
      throws(
        () => t([2, 3]).add(t([2])),
        ShapeError,
        /add: shapes \[2, 3\] and \[2\] do not broadcast: 3 against 2 at dim -1/,
      );
      throws(() => F.mul(2, 3), DTypeError, /mul: at least one operand must be a tensor/);
      throws(
        () => t([2]).add([1, 2] as never),
        DTypeError,
        /add: operand 1 is a list; pass a number or a tensor/,
      );
      throws(() => t([2]).add(undefined as never), DTypeError, /add: operand 1 is undefined/);
      throws(
        () => F.maskedFill(t([2], "i32"), t([2], "bool"), -Infinity),
        DTypeError,
        /a tensor of i32 cannot hold -Infinity/,
      );
      throws(
        () => t([2]).gelu("fast" as never),
        OptionError,
        /approximate is "fast", expected "none" or "tanh"/,
      );
    });

    it("in matrix products", () => {
      throws(
        () => t([2, 3]).matmul(t([2, 3])),
        ShapeError,
        /\[2, 3\] and \[2, 3\] do not multiply: 3 columns against 2 rows/,
      );
      throws(() => t([]).matmul(t([2])), ShapeError, /use mul/);
      throws(
        () => t([2, 2, 3]).matmul(t([3, 3, 2])),
        ShapeError,
        /matmul: shapes \[2\] and \[3\] do not broadcast/,
      );
      throws(
        () => F.linear(t([2, 3]), t([3, 4])),
        ShapeError,
        /linear: x \[2, 3\] and weight \[3, 4\] do not fit/,
      );
      throws(
        () => F.affine(t([2, 3]), t([3, 4]), t([3])),
        ShapeError,
        /bias \[3\] does not fit weight \[3, 4\]/,
      );
      throws(() => t([2, 2], "u8").matmul(t([2, 2], "u8")), DTypeError, /u8 with u8 is not computed/);
      throws(() => F.mm(t([2]), t([2])), ShapeError, /mm: takes two matrices/);
      throws(
        () => F.einsum("ij,jk->ik", t([2, 3]), t([2, 3])),
        ShapeError,
        /dim "j" has size 3 in one tensor and 2 in another/,
      );
      throws(() => F.einsum("ij", t([2])), ShapeError, /"ij" names 2 dims, the tensor is \[2\]/);
    });

    it("in shapes", () => {
      throws(() => t([2, 3]).reshape(4, 2), ShapeError, /reshape: \[4, 2\] has 8 elements, the tensor has 6/);
      throws(() => t([2, 3]).reshape(-1, 4), ShapeError, /6 elements cannot fill \[-1, 4\]/);
      throws(
        () => t([2, 3]).sum(2),
        ShapeError,
        /sum: dim 2 is outside \[-2, 1\] for a tensor of 2 dimensions/,
      );
      throws(
        () => t([2, 3]).sum({ keepdim: true } as never),
        ShapeError,
        /sum: dim is a number, a list of numbers or null/,
      );
      throws(() => t([2, 3]).sum([0, 0]), ShapeError, /sum: a dim is given twice/);
      throws(() => t([2, 3]).permute(0, 0), ShapeError, /does not name each of the 2 dims once/);
      throws(() => t([2, 3]).expand(2, 4), ShapeError, /\[2, 3\] does not stretch to \[2, 4\]/);
      throws(() => t([2, 3]).slice(2), ShapeError, /position 2 is outside dim 0 of \[2, 3\]/);
      throws(() => t([2]).slice(0, 0), ShapeError, /2 ranges for the 1 dim /);
      throws(() => t([2]).slice([0, 2, 0]), ShapeError, /a step is a whole number, not 0/);
      throws(
        () => F.concat([t([2, 3]), t([2, 4])]),
        ShapeError,
        /\[2, 3\] and \[2, 4\] differ in another dim than 0/,
      );
      throws(() => F.stack([t([2]), t([3])]), ShapeError, /\[2\] and \[3\] differ/);
      throws(() => t([2]).split([1, 2]), ShapeError, /add up to 3, dim 0 has 2/);
      throws(() => t([2, 3]).pad([1]), ShapeError, /\[1\] is not \[before, after\] for up to 2 dims/);
      throws(() => t([2]).pad([-3, 4]), ShapeError, /takes away more than \[2\] has/);
      throws(() => t([0]).max(), ShapeError, /max: nothing to take it of: shape \[0\]/);
      throws(() => t([3]).topk(4), ShapeError, /k is 4, dim -1 has 3 elements/);
      throws(() => t([2, 2, 2]).t(), ShapeError, /t: \[2, 2, 2\] has more than 2 dims/);
    });

    it("in picking", () => {
      const x = t([2, 3]);
      throws(() => x.gather(0, t([2, 3])), DTypeError, /positions are i32 or i64, not f32; convert with/);
      throws(
        () => x.gather(0, t([2, 4], "i32")),
        ShapeError,
        /an index of shape \[2, 4\] does not fit \[2, 3\]/,
      );
      throws(
        () => x.gather(1, tensor([[3]], { device, dtype: "i32" })),
        ShapeError,
        /index 3 is outside \[-3, 2\] at dim 1/,
      );
      throws(
        () => x.indexSelect(0, tensor([-3], { device, dtype: "i64" })),
        ShapeError,
        /index -3 is outside \[-2, 1\]/,
      );
      for (const id of [5, 2, -1, -100]) {
        for (const dtype of ["i32", "i64"] as const) {
          const ids = tensor([[0], [id]], { device, dtype }), expected = `id ${id} is none of the 2 rows`;
          throws(() => F.embedding(ids, x), ShapeError, new RegExp(expected));
        }
      }
      throws(
        () => x.scatterAdd(0, tensor([[2]], { device, dtype: "i32" }), t([1, 1])),
        ShapeError,
        /index 2 is outside/,
      );
      throws(
        () => x.scatter(0, t([1, 1], "i32"), t([1, 1], "i32")),
        DTypeError,
        /the source is i32, the tensor f32/,
      );
      throws(() => F.embedding(t([1], "i32"), x, 7), ShapeError, /paddingIdx 7 is none of the 2 rows/);
    });

    it("in losses and layers", () => {
      const x = t([2, 3]);
      throws(() => F.crossEntropy(x, t([2])), DTypeError, /class ids in i32 or i64, not f32/);
      throws(() => F.crossEntropy(x, t([3], "i32")), ShapeError, /so targets are \[2\], not \[3\]/);
      throws(
        () => F.crossEntropy(x, t([2], "i32"), { reduction: "avg" as never }),
        OptionError,
        /reduction is "avg", expected "mean", "sum" or "none"/,
      );
      throws(
        () => F.nllLoss(x, t([2], "i32"), { reduction: "avg" as never }),
        OptionError,
        /reduction is "avg", expected "mean"/,
      );
      throws(
        () => F.crossEntropy(x, t([2], "i32"), { labelSmoothing: 2 }),
        OptionError,
        /labelSmoothing is 2, expected a number from 0 to 1/,
      );
      throws(() => F.mseLoss(x, t([2, 2])), ShapeError, /mseLoss: shapes/);
      throws(() => F.layerNorm(x, 2), ShapeError, /layerNorm: \[2\] are not the last dims of \[2, 3\]/);
      throws(
        () => F.layerNorm(x, 3, t([2])),
        ShapeError,
        /a weight or bias of shape \[2\] does not fit \[3\]/,
      );
      throws(() => F.dropout(x, 1.5), OptionError, /p is a probability, not 1.5/);
      throws(() => F.conv1d(x, x), ShapeError, /conv1d: x \[2, 3\]/);
      throws(
        () => F.scaledDotProductAttention(x, x, x),
        ShapeError,
        /q \[2, 3\].*\[batch, heads, time, width\]/,
      );
    });

    it("in using what is gone", () => {
      const x = t([2, 3]);
      x.dispose();
      throws(() => x.add(1), FerrotypeError, /tensor of shape \[2, 3\] was disposed; keep it out of tidy/);
    });
  });
});

describe("mistakes with devices", () => {
  it("do not mix", () => {
    const [a, b] = testDevices.map((device) => F.ones([2], { device }));
    throws(() => a.add(b), DeviceError, /one tensor is on "reference", another on "cpu"; move one with .to/);
    throws(() => F.concat([a, b]), DeviceError, /concat: one tensor is on/);
    throws(
      () => a.gather(0, F.zeros([1], { device: "cpu", dtype: "i32" })),
      DeviceError,
      /gather: one tensor/,
    );
    throws(() => setDefaultDevice("gpu" as never), DeviceError, /device "gpu" is not available/);
    throws(
      () => a.to({ device: "webgpu" }),
      DeviceError,
      /device "webgpu" is asked of the system first; await initWebGPU\(\)/,
    );
  });

  it("are not copied between in place", () => {
    const [a, b] = testDevices.map((device) => F.ones([2], { device }));
    throws(() => F.copyInto(a, b), DeviceError, /copyInto: from "reference" to "cpu"/);
    throws(
      () => F.copyInto(F.ones([1], { device: "cpu" }), b),
      ShapeError,
      /copyInto: \[1\] does not fill \[2\]/,
    );
  });

  it("hold what they can hold", () => {
    throws(
      () => F.zeros([1], { device: "cpu", dtype: "f64" }),
      DTypeError,
      /device "cpu" does not hold f64; use f32/,
    );
    throws(
      () => F.zeros([1], { device: "reference", dtype: "f64" }).to({ device: "cpu" }),
      DTypeError,
      /does not hold f64/,
    );
    throws(() => F.ones([1], { device: "cpu" }).to({ dtype: "f64" }), DTypeError, /does not hold f64/);
  });
});
