/**
 * Every error this package throws on purpose.
 *
 * A message says what was given, what was expected, where (for a file: the tensor and the byte offset), and what
 * to do about it, in one sentence a person can act on. The class says which kind of mistake it was, so that a
 * program can act on it too.
 *
 * @module
 */

/**
 * The base of every error thrown on purpose by this package.
 *
 * @category Errors
 */
export class FerrotypeError extends Error {
  /** The class, for people who read a log. */
  override name = "FerrotypeError";
}

/**
 * Shapes, axes or indices that do not fit together.
 *
 * @category Errors
 */
export class ShapeError extends FerrotypeError {
  /** The class, for people who read a log. */
  override name = "ShapeError";
}

/**
 * A dtype that an operation or a device does not take.
 *
 * @category Errors
 */
export class DTypeError extends FerrotypeError {
  /** The class, for people who read a log. */
  override name = "DTypeError";
}

/**
 * A file, or text from outside, that is not what its format demands.
 *
 * @category Errors
 */
export class FormatError extends FerrotypeError {
  /** The class, for people who read a log. */
  override name = "FormatError";
}

/**
 * A device that is missing, out of memory, or was asked for what it cannot do.
 *
 * @category Errors
 */
export class DeviceError extends FerrotypeError {
  /** The class, for people who read a log. */
  override name = "DeviceError";
}

/**
 * A failure while talking to a model hub.
 *
 * @category Errors
 */
export class HubError extends FerrotypeError {
  /** The class, for people who read a log. */
  override name = "HubError";
}

/**
 * An option with a value that is not allowed, or an option that does not exist.
 *
 * @category Errors
 */
export class OptionError extends FerrotypeError {
  /** The class, for people who read a log. */
  override name = "OptionError";
}

/**
 * Work that was stopped by its `AbortSignal`.
 *
 * @category Errors
 */
export class CancelledError extends FerrotypeError {
  /** The class, for people who read a log. */
  override name = "CancelledError";
}

/**
 * What cannot be part of a compiled function: a value that is read, a gradient that leads outside.
 *
 * @category Errors
 */
export class CaptureError extends FerrotypeError {
  /** The class, for people who read a log. */
  override name = "CaptureError";
}

/**
 * Logits that are no numbers, as a model gave them: NaN or infinite. The message names the weight, or the operation, behind it.
 *
 * @category Errors
 */
export class LogitsError extends FerrotypeError {
  /** The class, for people who read a log. */
  override name = "LogitsError";
}

/**
 * Throws {@link CancelledError} when `signal` was aborted; `what` names the work in the message.
 *
 * @throws {CancelledError} when the signal was aborted.
 * @category Errors
 */
export function throwIfAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted) throw new CancelledError(`${what} was cancelled`, { cause: signal.reason });
}
